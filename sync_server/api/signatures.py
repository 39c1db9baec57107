"""Reading the image of a signature from a site database, bounded and checked.

| found | outcome |
|---|---|
| the document or its attachment is gone | NoSignature |
| it is no PNG, whatever its type says | NoSignature |
| it is larger than a signature can be | NoSignature |
| the store does not answer | Unavailable |
"""

from replication.client import CouchClient
from replication.errors import CouchError, TooLarge
from replication.errors import NotFound as Missing
from sync_server.errors import Unavailable

MOST_BYTES = 4 * 1024 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"


class NoSignature(Exception):
    """There is no image to show; the message says why."""


async def read_signature(client: CouchClient, database: str, consent: str, rev: str) -> bytes:
    """The attachment `signature.png` of this revision of a consent. Raises NoSignature, Unavailable."""
    try:
        image = await client.attachment(
            database, f"consent:{consent}", "signature.png", rev=rev, most_bytes=MOST_BYTES
        )
    except Missing as error:
        raise NoSignature("The signature is not in the site database any more.") from error
    except TooLarge as error:
        raise NoSignature(f"The signature is larger than {MOST_BYTES} bytes.") from error
    except CouchError as error:
        raise Unavailable("The site databases do not answer; try again.") from error
    if not image.startswith(_PNG):
        raise NoSignature("What the tablet sent as signature.png is no PNG.")
    return image
