"""Databases as files: every leaf with its history and attachments, written, checked, put back, compared."""
