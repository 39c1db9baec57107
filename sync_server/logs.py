"""Structured logs: one JSON object a line on standard error, with the request id wherever there is one.

A log is read by more people than a credential is meant for. Nothing here logs headers or URL queries, and
what a library would quote of them is taken out: the HTTP server's complaint about bytes that are no HTTP
repeats those bytes, and they may be an `Authorization` header with one wrong character in it.
"""

import logging
import sys

import structlog
from aiohttp.http_exceptions import BadHttpMessage

from sync_server.settings import LogLevel


def configure_logging(level: LogLevel, *, process: str) -> None:
    """Send structlog's and the standard library's records to standard error as JSON lines.

    `process` (`up`, `serve`, `project`, …) is a member of every line.
    """

    def add_process(
        _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        # Not in the log context: threads that a library starts have none.
        event.setdefault("process", process)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_process,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(without_received_bytes)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.EventRenamer("event"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def without_received_bytes(record: logging.LogRecord) -> bool:
    """A filter for handlers: a request that was no HTTP becomes a line without traceback and its bytes."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, BadHttpMessage):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = f"a request was not HTTP ({type(error).__name__})", ()
    return True
