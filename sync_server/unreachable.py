"""Which failures say that what the service needs is away for the moment: the caller tries again."""

from typing import Final

import psycopg
import sqlalchemy.exc

from sync_server.api.seams import StoreUnreachable

UNREACHABLE: Final = (
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    StoreUnreachable,
)
