"""What tablets send: the typed kinds of documents, validation, and trials in one shape."""
