"""Replication jobs: what people want replicated, what was seen of it, and when somebody has to look."""
