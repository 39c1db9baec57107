"""What reports show: read in one snapshot, measured, and handed over as values that know no page.

| file | concept |
|---|---|
| `contents.py` | the values |
| `measuring.py` | scores of a sample and of a person: bands, change, practice, retest; pure |
| `scope.py` | of which study and sites, de-identified or not |
| `naming.py` | whom a participant's report is about |
| `score_rows.py`, `provenance.py` | what all three reports read |
| `participant.py`, `site.py`, `study.py` | one report each |
"""
