"""What an Apache CouchDB does that the embedded store does not: failures, and habits of a cluster."""
