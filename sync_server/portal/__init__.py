"""Pages for people: each is a view of API routes, asked in this process as whoever looks at it (docs/PORTAL.md)."""
