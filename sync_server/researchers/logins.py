"""Logins of researchers: made with their first grant, shut with the loss of their last.

Run as the owner of the tables, who needs CREATEROLE.

| what happens | what follows |
|---|---|
| it dies in the middle | nothing has changed: roles and grants are of one transaction |
| the login is there | it stays, opened where it was shut; its password too |
| the same grant twice | it is changed: `identified`, when it ends |
| the last grant is withdrawn | the role stays and may not log in; the watchdog ends its connections |
"""

import re
import secrets
from typing import Final

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from reporting.research.grants import Grant, has_grant, put_grant, withdraw
from reporting.research.policy import make_policy
from reporting.research.roles import READERS

PREFIX: Final = "researcher_"
MOST_CONNECTIONS: Final = 5

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")

# What a login may change for itself, for whoever forgets; the watchdog holds those to it who do not.
_DEFAULTS: Final = (
    "ALTER ROLE {login} SET statement_timeout = '10min'",
    "ALTER ROLE {login} SET idle_in_transaction_session_timeout = '5min'",
    "ALTER ROLE {login} SET default_transaction_read_only = on",
    "ALTER ROLE {login} SET search_path = research",
    # This one it may not change: what is sorted fills the disk that the tables are on.
    "ALTER ROLE {login} SET temp_file_limit = '5GB'",
)


class UnusableName(ValueError):
    """Not a name of which a login can be made."""


def login_of(name: str) -> str:
    """`anna` → `researcher_anna`. Raises UnusableName."""
    if not _NAME.fullmatch(name):
        raise UnusableName(
            f"{name!r} is no name of a login: lower-case letters, digits and _, a letter first, 41 at most."
        )
    return PREFIX + name


def give(connection: Connection, grant: Grant, *, by: str, service: str) -> str | None:
    """Give the grant and, where there is none, make the login; answers the password of a new one.

    `service` is the service's role: it has to see and end the login's statements, and cannot become it.
    Raises SQLAlchemy's IntegrityError for an unknown study or site, psycopg's errors for missing rights.
    """
    connection.execute(make_policy(grant.study))
    connection.execute(put_grant(grant, by))
    return _make_login(driver_of(connection), grant.login, service)


def take(connection: Connection, login: str, study: str | None, site: str | None) -> int:
    """Withdraw grants (see `withdraw`) and shut a login that has none left; answers how many it were."""
    withdrawn = connection.execute(withdraw(login, study, site)).rowcount
    if withdrawn and not connection.execute(has_grant(login)).scalar_one():
        driver_of(connection).execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(login)))
    return withdrawn


def renew_password(connection: Connection, login: str) -> str:
    """Give the login another password, and answer it. Connections that are open go on.

    Raises psycopg's UndefinedObject where there is no such login, and its errors for missing rights.
    """
    driver = driver_of(connection)
    password, verifier = _new_password(driver, login)
    driver.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), sql.Literal(verifier)))
    return password


def _new_password(driver: psycopg.Connection, login: str) -> tuple[str, str]:
    password = secrets.token_urlsafe(24)
    # The verifier is computed here: the password itself never reaches the server or its log.
    verifier = driver.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    return password, verifier.decode()


def _make_login(driver: psycopg.Connection, login: str, service: str) -> str | None:
    password, verifier = _new_password(driver, login)
    is_new = True
    names = {
        "login": sql.Identifier(login),
        "readers": sql.Identifier(READERS),
        "service": sql.Identifier(service),
        "database": sql.Identifier(driver.info.dbname),
        "verifier": sql.Literal(verifier),
        "most": sql.Literal(MOST_CONNECTIONS),
    }
    create = sql.SQL("CREATE ROLE {login} LOGIN NOINHERIT CONNECTION LIMIT {most} PASSWORD {verifier}")
    try:
        with driver.transaction():
            driver.execute(create.format(**names))
    except psycopg.errors.DuplicateObject:
        is_new = False
        driver.execute(sql.SQL("ALTER ROLE {login} LOGIN").format(**names))
    for statement in (
        *_DEFAULTS,
        "GRANT {readers} TO {login} WITH INHERIT TRUE, SET FALSE",
        "GRANT {login} TO {service} WITH INHERIT TRUE, SET FALSE",
        "GRANT CONNECT ON DATABASE {database} TO {login}",
    ):
        driver.execute(sql.SQL(statement).format(**names))
    return password if is_new else None


def driver_of(connection: Connection) -> psycopg.Connection:
    """The driver's connection, in the same transaction."""
    found: psycopg.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    return found
