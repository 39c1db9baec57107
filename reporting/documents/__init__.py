"""What tablets send: the typed kinds of documents, validation, upcasting and the merge of conflicting leaves."""
