"""A coordinator's desk: conflicts and quarantine, on the real service and store."""
