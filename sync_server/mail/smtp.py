"""Sending a mail to the server of `SMTP_URL`.

| scheme | port | connection |
|---|---|---|
| `smtp` | 25 | plain; for a server on the same machine or network |
| `smtp+starttls` | 587 | encrypted from STARTTLS on; refused where the server does not offer it |
| `smtps` | 465 | encrypted from the start |

Certificates are checked. Every failure is an OSError or an SMTPException, and says nothing of the password.
"""

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

_PATIENCE_SECONDS = 30


def send(message: EmailMessage, smtp_url: str, *, sender: str, recipient: str) -> None:
    """Hand the mail over; returns when the server has taken it. Raises OSError or smtplib.SMTPException."""
    url = urlsplit(smtp_url)
    host = url.hostname or ""
    if url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, url.port or 465, timeout=_PATIENCE_SECONDS, context=ssl.create_default_context()
        )
    else:
        port = url.port or (587 if url.scheme == "smtp+starttls" else 25)
        server = smtplib.SMTP(host, port, timeout=_PATIENCE_SECONDS)
    with server:
        if url.scheme == "smtp+starttls":
            server.starttls(context=ssl.create_default_context())
        if url.username:
            server.login(unquote(url.username), unquote(url.password or ""))
        server.send_message(message, from_addr=sender, to_addrs=[recipient])
