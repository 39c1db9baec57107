"""Sending a mail to the server of `SMTP_URL`.

| scheme | port | connection |
|---|---|---|
| `smtp` | 25 | plain; for a server on the same machine or network |
| `smtp+starttls` | 587 | encrypted from STARTTLS on; refused where the server does not offer it |
| `smtps` | 465 | encrypted from the start |

Certificates are checked. Every failure is an OSError or an SMTPException, and says nothing of the password.

`send` raises. `hand_over` answers what is known of the mail, without a word of the server's, which may repeat
the recipient's address:

| what happens | answer |
|---|---|
| the server took it | `Accepted` |
| no connection, no login, an answer of 4xx | `Refused` |
| an answer of 5xx to the recipient or the mail | `Refused`, for good |
| the connection ends while the mail itself is told | `Unknown`: it may have been taken |
"""

import smtplib
import ssl
from email.message import EmailMessage
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

_PATIENCE_SECONDS = 30


class Accepted(NamedTuple):
    """The server has it."""


class Refused(NamedTuple):
    """The server does not have it."""

    error: str
    final: bool = False


class Unknown(NamedTuple):
    """Nobody knows whether the server has it."""

    error: str


class _Telling(smtplib.SMTP):
    """Knows whether it has begun to tell the mail itself."""

    has_begun = False

    def data(self, msg: Any) -> Any:
        """SMTP's DATA."""
        self.has_begun = True
        return super().data(msg)


class _TellingEncrypted(_Telling, smtplib.SMTP_SSL):
    """The same, encrypted from the start."""


def send(message: EmailMessage, smtp_url: str, *, sender: str, recipient: str) -> None:
    """Hand the mail over; returns when the server has taken it. Raises OSError or smtplib.SMTPException."""
    with _connected(smtp_url) as server:
        _greet(server, smtp_url)
        server.send_message(message, from_addr=sender, to_addrs=[recipient])


def hand_over(
    message: EmailMessage, smtp_url: str, *, sender: str, recipient: str
) -> Accepted | Refused | Unknown:
    """Hand the mail over; see the module."""
    server = None
    try:
        server = _connected(smtp_url)
        _greet(server, smtp_url)
        server.send_message(message, from_addr=sender, to_addrs=[recipient])
    except Exception as error:  # noqa: BLE001 (writing a mail, the library raises anything, with words of it)
        return _told(error, is_unknown=server is not None and server.has_begun)
    finally:
        if server is not None:
            _leave(server)
    return Accepted()


def _told(error: Exception, *, is_unknown: bool) -> Refused | Unknown:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next(iter(error.recipients.values()), (0, b""))[0]
        return Refused(f"The mail server refused the recipient ({code}).", final=code >= 500)
    if isinstance(error, smtplib.SMTPResponseException):
        # Of the mail itself 5xx is for good; a login, a sender, a greeting may be mended.
        final = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
        return Refused(f"The mail server refused ({type(error).__name__}, {error.smtp_code}).", final=final)
    # A certificate that is not trusted is a ValueError too, and an OSError.
    cannot_be_written = not isinstance(error, OSError) and not is_unknown
    if cannot_be_written or isinstance(error, smtplib.SMTPNotSupportedError):
        final = cannot_be_written or "SMTPUTF8" in str(error)
        return Refused("The mail server cannot do what this mail or SMTP_URL needs.", final=final)
    if is_unknown:
        return Unknown(f"The mail server did not say whether it took the mail ({type(error).__name__}).")
    return Refused(f"The mail server was not reached ({type(error).__name__}).")


def _connected(smtp_url: str) -> _Telling:
    url = urlsplit(smtp_url)
    host = url.hostname or ""
    if url.scheme == "smtps":
        context = ssl.create_default_context()
        return _TellingEncrypted(host, url.port or 465, timeout=_PATIENCE_SECONDS, context=context)
    port = url.port or (587 if url.scheme == "smtp+starttls" else 25)
    return _Telling(host, port, timeout=_PATIENCE_SECONDS)


def _greet(server: smtplib.SMTP, smtp_url: str) -> None:
    url = urlsplit(smtp_url)
    if url.scheme == "smtp+starttls":
        server.starttls(context=ssl.create_default_context())
    if url.username:
        server.login(unquote(url.username), unquote(url.password or ""))


def _leave(server: smtplib.SMTP) -> None:
    """Whatever the server says to that: what became of the mail is known."""
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()
