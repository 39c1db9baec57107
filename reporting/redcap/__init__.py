"""What sessions are in REDCap. Pure, but for the statements of `ledger` and `requests`; see docs/REDCAP.md."""
