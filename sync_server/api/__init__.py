"""The REST API under `/api`: thin handlers; the SQL is in `reporting.queries`."""
