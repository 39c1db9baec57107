"""The CouchDB replication protocol: revision trees, the embedded store, its HTTP API, a client and a feed
follower.
"""
