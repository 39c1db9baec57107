"""Sessions into REDCap, participants out of it."""
