"""Studies and sites: what runs where, and what it starts from."""
