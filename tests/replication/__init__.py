"""The protocol's parts by themselves: revision trees, edits, the wire, the files of the store."""
