"""A real mail server on loopback, which keeps what it took."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class MailServer:
    """`url` is its SMTP_URL; `refuses` makes it answer with a failure after the mail was told."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = False
        self.url = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        assert envelope.rcpt_tos == [str(message["To"])]
        self.mails.append(message)
        return "451 come again" if self.refuses else "250 OK"

    def token(self) -> str:
        """The token of the link in the newest mail."""
        found = re.search(r"#token=(\S+)", self.mails[-1].get_content())
        assert found is not None
        return found[1]


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Runs meanwhile."""
    server = MailServer()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    controller = Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    server.url = f"smtp://127.0.0.1:{port}"
    try:
        yield server
    finally:
        controller.stop()
