"""What is delivered from the outbox: a module for each kind of entry."""
