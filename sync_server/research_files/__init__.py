"""Exports and reports: files that jobs make, kept for a while, downloaded by who asked for them."""
