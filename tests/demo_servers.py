"""A command beside what it would have in a clinic: a REDCap (its double) and a mail server (a sink).

    python -m tests.demo_servers sync-server demo --exit

The command finds both in its environment: `REDCAP_DEMO_URL`, `REDCAP_DEMO_TOKEN`, `SMTP_URL`, `MAIL_FROM`.
The REDCap project is empty; its form is the demo battery's, as `sync-server redcap dictionary` writes it.
The mail server takes every mail, tells a line of it, and forgets it.

The command is in a process group of its own, which a terminal's Ctrl-C does not reach: we pass it on, once.

| what happens | what follows |
|---|---|
| the command ends | its exit code is ours; 128 and the signal's number where a signal ended it |
| SIGINT, SIGTERM, SIGHUP to us | passed on |
| `kill -9` of us | the command's lifeline is cut: it ends as by SIGTERM |
| the command cannot be started | a line, exit code 127 |
| no command is given | how to, exit code 1 |
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from email import message_from_bytes, policy
from typing import Any, Final

from aiosmtpd.smtp import SMTP

from reporting.redcap.dictionary_file import csv_text, design
from sync_server.demo.in_redcap import FORM
from sync_server.demo.task_runs import TASKS
from sync_server.demo.team import BATTERY
from sync_server.embedded.lifeline import LIFELINE_VARIABLE
from tests.redcap_double.building import build_project
from tests.redcap_double.dictionary_file import parse_dictionary
from tests.redcap_double.double import REQUESTS_PER_MINUTE, Double
from tests.redcap_double.project import Project
from tests.redcap_double.running import LOOPBACK, running

_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def demo_project() -> Project:
    """The project of the demo: its battery's form, which repeats."""
    dictionary = parse_dictionary(csv_text(design(BATTERY, dict.fromkeys(TASKS, 1), form=FORM)))
    return build_project(dictionary.fields, repeating=[FORM], title="Self-regulation (demo)")


class MailSink:
    """Takes every mail and tells a line of it."""

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        _ = server, session
        subject = message_from_bytes(envelope.content, policy=policy.default)["Subject"]
        print(f"Mail to {', '.join(envelope.rcpt_tos)}: {subject}", flush=True)
        return "250 OK"


@contextlib.asynccontextmanager
async def _mail_sink() -> AsyncIterator[str]:
    """Serves in this loop; its SMTP_URL."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(MailSink(), hostname=LOOPBACK, loop=loop), LOOPBACK, 0)
    try:
        yield f"smtp://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def run(command: Sequence[str]) -> int:
    """Run it beside both; its exit code."""
    double = Double([demo_project()])
    async with running(double) as address, _mail_sink() as smtp_url:
        given = {
            "REDCAP_DEMO_URL": address.url,
            "REDCAP_DEMO_TOKEN": double.token,
            # The double bans whoever asks more often than REDCap lets them; by default we ask once a second.
            "REDCAP_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE - 100),
            "SMTP_URL": smtp_url,
            "MAIL_FROM": "demo@study.example",
        }
        print(f"A double of REDCap is at {address.url}\nand a mail server that tells its mails.", flush=True)
        return await _run(command, given)


async def _run(command: Sequence[str], given: Mapping[str, str]) -> int:
    # Nobody writes: the kernel closes it with us.
    hear, _ = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **given, LIFELINE_VARIABLE: str(hear)},
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(hear,),
            process_group=0,
        )
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return 127
    finally:
        os.close(hear)
    loop = asyncio.get_running_loop()
    for number in _PASSED_ON:
        # What our parent had us ignore stays ignored, as by `nohup`.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, process.send_signal, number)
    code = await process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("python -m tests.demo_servers COMMAND [ARGUMENT]...")
    sys.exit(asyncio.run(run(sys.argv[1:])))
