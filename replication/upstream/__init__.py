"""The CouchDB API answered by another server of it, with this one's policy, limits and record in front."""
