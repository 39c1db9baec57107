"""Export files: a described table and its rows in, one file out, in constant memory.

`described` says what a table is and judges its cells; `delimited`, `ndjson`, `parquet`, `excel`, `spss` and
`bids` write it; `codebook` and `manifest` say what was written. Nobody here knows a database or HTTP.

A file is the same bytes for the same table, rows and order of rows, however the rows came in batches, as long
as the versions of the libraries (and of zlib) are the same: no file holds a time, a random number or a path.
"""
