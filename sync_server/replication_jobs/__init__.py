"""Replication jobs at the store: documents in `_replicator`, credentials, what the scheduler says.

replication_jobs (Postgres) ──documents──▶ `_replicator` ──▶ scheduler ──▶ `_scheduler/…`
        ▲                                                                       │
        └────────────────────────────── looks ◀─────────────────────────────────┘
"""
