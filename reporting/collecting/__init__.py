"""Sessions from a browser that is online: the same documents as a tablet's, in the same site database."""
