"""REDCap: mapping, push and pull."""
