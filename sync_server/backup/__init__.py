"""Backup sets: site databases and Postgres together, made, checked and restored (docs/BACKUP.md)."""
