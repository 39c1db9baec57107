"""A real mail server on loopback that takes mails, refuses them, or leaves open whether it took them."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


class MailServer:
    """`url` is its SMTP_URL. `answer`: what it says to a mail, once it has it; None: it hangs up instead.
    `recipient`: what it says to a recipient. While `held` is set, who says goodbye after a mail waits for the
    answer until `release`.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.taken: list[EmailMessage] = []
        self.connections: list[SMTP] = []
        self.answer: str | None = "250 OK"
        self.recipient = "250 OK"
        self.held = False
        self.is_waiting = threading.Event()
        self.release = threading.Event()
        self.url = ""

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        _ = server, session, options
        if self.recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        # As servers do: with the address in it.
        return self.recipient if self.recipient.startswith("250") else f"{self.recipient} <{address}>"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        _ = session
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        if self.answer is not None and self.answer.startswith("250"):
            self.taken.append(message)
        if self.answer is None:
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
            return "250 nobody hears"
        return self.answer if self.answer.startswith("250") else f"{self.answer} {envelope.rcpt_tos[0]}"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        _ = server, session, envelope
        if self.held and self.mails:
            self.is_waiting.set()
            await asyncio.to_thread(self.release.wait)
        return "221 Bye"

    def connected(self, **options: Any) -> SMTP:
        """The protocol of another connection."""
        self.connections.append(SMTP(self, **options))
        return self.connections[-1]

    async def hang_up(self) -> None:
        """Whoever was killed in the middle, or is slow, has not closed their end in time."""
        for connection in self.connections:
            if isinstance(connection.transport, asyncio.Transport):
                connection.transport.abort()
        await asyncio.sleep(0.05)

    @property
    def message_ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.mails]


class _Controller(Controller):
    def factory(self) -> SMTP:
        handler: MailServer = self.handler
        return handler.connected(**self.SMTP_kwargs)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Runs meanwhile."""
    server = MailServer()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    controller = _Controller(server, hostname="127.0.0.1", port=port)
    controller.start()
    server.url = f"smtp://127.0.0.1:{port}"
    try:
        yield server
    finally:
        server.release.set()
        asyncio.run_coroutine_threadsafe(server.hang_up(), controller.loop).result(10)
        controller.stop()
