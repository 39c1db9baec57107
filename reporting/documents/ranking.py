"""Which of a document's leaves wins, whatever its revisions look like.

The winner is the live leaf with the greatest position, then the greatest id (see `replication.values`). Our
own store refuses a revision that is no `<position>-<id>` of reasonable length. Apache CouchDB stores ids of
any length, and rows spell what is too long for a key as its beginning and a digest. One such revision, sent
by one tablet, must not stop its site: here every text has a rank; what has no position ranks below the rest.
"""


def rank(rev: str) -> tuple[int, str]:
    """Orders revisions, spelled as rows spell them: by position, then by id. Never raises."""
    position, dash, _ = rev.partition("-")
    has_position = dash and position.isascii() and position.isdigit()
    # Of one position the text orders as the ids do, and different revisions never rank alike.
    return int(position) if has_position else 0, rev
