"""The portal's service as a process, its people, and what they have in their hands."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import insert, update

from reporting.engine import sync_engine
from reporting.tables import memberships, users
from sync_server.identity.access_tokens import Role
from sync_server.identity.users import insert_user
from tests.administration.people import PASSWORD, password_hash
from tests.browser import pictures, scenery
from tests.browser.visitor import Visitor
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Service
from tests.own_database import own_database
from tests.portal.world import MARK, fill

__all__ = ["PASSWORD"]


async def sign_in(visitor: Visitor, email: str, password: str = PASSWORD) -> None:
    """Fill in the page of signing in, which is open."""
    await visitor.page.get_by_label("Email address").fill(email)
    await visitor.page.get_by_label("Password").fill(password)
    await visitor.page.get_by_role("button", name="Sign in").click()


class Portal:
    """`sync-server serve`, on a database that all tests of a process share: each makes what it needs."""

    def __init__(self, service: Service, database_url: str, superuser_url: str) -> None:
        self.service = service
        self._superuser_url = superuser_url
        self.database_url = database_url
        self._engine = sync_engine(database_url)

    @property
    def base_url(self) -> str:
        return self.service.base_url

    def join(
        self,
        email: str,
        *,
        everywhere: Role | None = None,
        study: str | None = None,
        site: str | None = None,
        role: Role | None = None,
        temporary: bool = False,
        name: str = "",
    ) -> int:
        """Somebody with an account, `PASSWORD`, and a role everywhere or in a study; their number."""
        with self._engine.begin() as connection:
            person = connection.execute(
                insert_user(email, password_hash(), everywhere, name=name)
            ).scalar_one()
            if temporary:
                connection.execute(
                    update(users).where(users.c.id == person).values(password_is_temporary=True)
                )
            if study is not None:
                connection.execute(
                    insert(memberships).values(person=person, study=study, site=site, role=role)
                )
        return person

    def connect(self) -> psycopg.Connection:
        """A connection to its database, each statement by itself."""
        return psycopg.connect(self.database_url, autocommit=True)

    def furnish(self) -> None:
        """Make its world one to be pictured."""
        name = urlsplit(self.database_url).path
        in_it = urlsplit(self._superuser_url)._replace(path=name).geturl()
        with psycopg.connect(in_it, autocommit=True) as superuser:
            scenery.furnish(superuser)

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Nobody reaches the database until it is left."""
        name = urlsplit(self.database_url).path.removeprefix("/")
        own = sql.Identifier(name)
        with psycopg.connect(self._superuser_url, autocommit=True) as superuser:
            superuser.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(own))
            try:
                superuser.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
                )
                yield
            finally:
                superuser.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(own))

    def dispose(self) -> None:
        """Close the connections to the database."""
        self._engine.dispose()


@contextmanager
def serving(postgres: SupervisedSystem, redis_url: str) -> Iterator[Portal]:
    """The service on a small world with markup in every free text, none in pictures; until it is left."""
    directory = Path(tempfile.mkdtemp(prefix="metricis-tests-"))
    try:
        with (
            own_database(postgres) as url,
            Service(directory, database_url=url, redis_url=redis_url, PORTAL_LIVE_SECONDS="1") as service,
        ):
            portal = Portal(service, url, postgres.superuser_url)
            with portal.connect() as connection:
                fill(connection, mark="" if pictures.asked() else MARK)
            if pictures.asked():
                portal.furnish()
            try:
                yield portal
            finally:
                portal.dispose()
    finally:
        shutil.rmtree(directory)
