"""The embedded store: one SQLite file a database, one writer thread a file, readers beside it."""
