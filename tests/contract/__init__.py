"""What every CouchDB does that this system runs on: the embedded store, and Apache CouchDB itself."""
