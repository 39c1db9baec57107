"""From a site database's changes to committed rows.

Reading order: `feed` (where changes come from) → `reading` (one batch) → `judge` (validate, merge, rows:
pure) → `apply` (one transaction) → `pump` (every site, for ever).
"""
