"""A mail as it goes over the wire.

Its Message-ID is the outbox entry's and its ticket's: a mail that is sent again, because it was not known
whether it had gone, is the same mail to every program that looks.
"""

import hashlib
import re
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from sync_server.mail.texts import Text

_NAME = re.compile(r"[^\s\x00-\x20\x7f<>()\[\],;:\\\"@]{1,64}")
_HOST = re.compile(r"\w[\w-]{0,62}(\.\w[\w-]{0,62}){0,9}")
"""What mail servers and the library's parsers read alike: quotes, comments and lists of addresses may lead
the mail elsewhere than its header says, or break the header.
"""


class UnusableAddress(ValueError):
    """No mail can be sent to this address."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def compose(
    text: Text,
    *,
    sender: str,
    recipient: str,
    message_id: str,
    now: datetime,
    sender_name: str = "",
    unsubscribe: str | None = None,
) -> EmailMessage:
    """The mail. `unsubscribe`: a link that takes a POST without asking anything (RFC 8058).

    Raises UnusableAddress.
    """
    message = EmailMessage()
    message["Subject"] = _shown(text.subject)
    message["From"] = _address(sender, sender_name)
    message["To"] = _address(recipient)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id
    # Nobody answers an answering machine that knows itself spoken to by one (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    if unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text.body)
    return message


def stable_message_id(key: str, ticket: int, *, sender: str) -> str:
    """The Message-ID of what an outbox entry asks for with this ticket."""
    digest = hashlib.sha256(f"{key}\0{ticket}".encode()).hexdigest()[:32]
    return f"<{digest}@{sender.rpartition('@')[2]}>"


def _address(address: str, shown: str = "") -> Address:
    name, _, host = address.rpartition("@")
    is_read_alike = _NAME.fullmatch(name) and _HOST.fullmatch(host) and "=?" not in name
    if not is_read_alike or not address.isprintable():
        raise UnusableAddress
    try:
        return Address(display_name=_shown(shown), username=name, domain=host)
    # IndexError: the library's parser at some addresses that are none.
    except (ValueError, IndexError) as error:
        raise UnusableAddress from error


def _shown(text: str) -> str:
    """On one line. What looks like an encoded word would be decoded, line ends in it too."""
    return " ".join(text.split()).replace("=?", "= ?")
