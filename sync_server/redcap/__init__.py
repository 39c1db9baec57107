"""REDCap: asking it, and what asks it. See docs/REDCAP.md."""
