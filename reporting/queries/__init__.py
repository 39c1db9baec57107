"""What people ask of the results: SQL and row types, one module a noun."""
