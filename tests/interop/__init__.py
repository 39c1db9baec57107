"""Real clients of the replication protocol, from npm and PyPI."""
