"""Pages for people: views of API routes, asked in this process as whoever looks (docs/PORTAL.md)."""
