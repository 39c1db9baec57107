"""PDF reports: what `reporting.reports` has read, on pages. ReportLab makes the file, the pages are ours.

| file | concept |
|---|---|
| `faces.py`, `characters.py`, `lines.py` | packaged fonts; which character is in which; shaped text |
| `embedding.py`, `structure.py`, `sheets.py` | PDF: fonts, tags, pages |
| `flow.py`, `blocks.py`, `grid.py` | what stands under what, and where a page ends |
| `scales.py`, `curves.py`, `histograms.py`, `bars.py`, `diagram.py` | charts |
| `texts.py`, `wording.py` | every text in English and French; numbers and dates as they write them |
| `participant.py`, `site.py`, `study.py` | the reports |
"""
