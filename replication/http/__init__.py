"""The CouchDB HTTP API of the embedded store, as aiohttp handlers that any application can mount."""
