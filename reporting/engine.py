"""Connections to Postgres from DATABASE_URL, all alike.

`DATABASE_URL` may be spelled for libpq (`postgresql://`, `postgres://`) or for SQLAlchemy
(`postgresql+psycopg://`): the driver is psycopg 3 either way. Every connection runs in UTC, so that times
read the same wherever the server stands, gives up connecting after ten seconds, and notices within fifteen
that the other side is gone: a projector that waits on a dead connection would hold up its site. A statement
from which row-level security would hide rows fails, and is not answered with those that are left.

Errors of the pooled engines tell the statement without its parameters, because errors are logged and
parameters are participants' data.
"""

from typing import Any, Final, Literal

import psycopg
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_DRIVER: Final = "postgresql+psycopg"

_SESSION: Final = "-c timezone=UTC -c row_security=off"

_OPTIONS: Final[dict[str, Any]] = {
    "options": _SESSION,
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # Keepalives are not sent while data waits to be acknowledged; COPY sends megabytes.
    "tcp_user_timeout": 15_000,
}


_SERVER_SIDE: Final = f"{_SESSION} -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"
_HOLDING: Final = {"options": f"{_SERVER_SIDE} -c tcp_keepalives_idle=5"}


def sqlalchemy_url(database_url: str) -> URL:
    """Any of the spellings, for SQLAlchemy with psycopg 3. Raises sqlalchemy.exc.ArgumentError for none."""
    return make_url(database_url).set(drivername=_DRIVER)


def sync_engine(database_url: str, *, application_name: str = "metricis-sync", holds: bool = False) -> Engine:
    """A pooled engine for synchronous code. `holds`: its connections hold locks or snapshots for long, so
    Postgres too notices within 20 seconds that their machine is gone.
    """
    return create_engine(
        sqlalchemy_url(database_url),
        connect_args={**_OPTIONS, **(_HOLDING if holds else {}), "application_name": application_name},
        pool_pre_ping=True,
        hide_parameters=True,
    )


def async_engine(
    database_url: str, *, pool_size: int = 10, application_name: str = "metricis-sync"
) -> AsyncEngine:
    """A pooled engine for the service; `await engine.dispose()` closes it."""
    return create_async_engine(
        sqlalchemy_url(database_url),
        connect_args={**_OPTIONS, "application_name": application_name},
        pool_size=pool_size,
        pool_pre_ping=True,
        hide_parameters=True,
    )


# For COPY in a batch. A projector that vanishes or is paused in the middle of one holds the site's checkpoint
# row: Postgres ends its transaction, and who waits for the row meanwhile gives its place to other sites.
_BATCH: Final[dict[str, Any]] = {
    **_OPTIONS,
    "options": f"{_SERVER_SIDE} -c tcp_keepalives_idle=5 -c lock_timeout=20000"
    " -c idle_in_transaction_session_timeout=30000",
}

# For a connection whose loss both sides have to notice within five seconds, and which is never idle for long
# unless its process is paused.
_WATCHFUL: Final[dict[str, Any]] = {
    **_OPTIONS,
    "options": f"{_SERVER_SIDE} -c tcp_keepalives_idle=2 -c tcp_user_timeout=5000"
    " -c idle_session_timeout=6000",
    "connect_timeout": 5,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}

_KINDS: Final = {"plain": _OPTIONS, "batch": _BATCH, "watchful": _WATCHFUL}

ConnectionKind = Literal["plain", "batch", "watchful"]
"""`batch`: short transactions without pauses. `watchful`: its loss is noticed by both sides within five
seconds, and it is closed when it was not used for six.
"""


def connect(
    database_url: str, *, application_name: str = "metricis-projector", kind: ConnectionKind = "plain"
) -> psycopg.Connection:
    """One driver connection, for COPY. In autocommit mode: transactions are begun explicitly.

    Raises psycopg.OperationalError when the server cannot be reached.
    """
    conninfo = sqlalchemy_url(database_url).set(drivername="postgresql")
    return psycopg.connect(
        conninfo.render_as_string(hide_password=False),
        autocommit=True,
        application_name=application_name,
        **_KINDS[kind],
    )
