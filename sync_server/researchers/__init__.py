"""Logins of researchers in Postgres: roles, schema and views; grants; the watchdog."""
