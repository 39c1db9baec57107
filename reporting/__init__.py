"""Study documents and Postgres: validation, scoring, projection and what researchers read."""
