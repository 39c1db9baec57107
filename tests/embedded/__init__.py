"""The embedded Postgres and Valkey, as real processes."""
