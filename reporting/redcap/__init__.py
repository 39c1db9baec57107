"""What sessions are in REDCap. Pure, but for the files with statements; see docs/REDCAP.md."""
