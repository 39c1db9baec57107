"""`serve` in a process of its own, with a small world in it and somebody of every role everywhere."""

import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy import insert

from reporting.engine import sync_engine
from reporting.tables import memberships
from sync_server.identity.access_tokens import Person, Role, issue_access_token
from sync_server.identity.users import insert_user
from sync_server.settings import DEVELOPMENT_JWT_SECRET
from tests.administration.authorization import PLACES, ROLES, WORLD
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Service
from tests.own_database import own_database


class Served:
    """Its address, and the access token and account of each role in each place."""

    def __init__(
        self, base_url: str, tokens: dict[tuple[Role, str], str], accounts: dict[tuple[Role, str], int]
    ) -> None:
        self.base_url = base_url
        self.tokens = tokens
        self.accounts = accounts


@contextmanager
def served(postgres: SupervisedSystem, redis_url: str, dropping: Callable[[str], None]) -> Iterator[Served]:
    """The service on a database of its own, until it is left; `dropping` drops that some time afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="metricis-tests-"))
    try:
        with own_database(postgres, dropping) as url:
            with psycopg.connect(url) as connection:
                for statement in WORLD:
                    connection.execute(statement.encode())
            with Service(directory, database_url=url, redis_url=redis_url) as running:
                yield Served(running.base_url, *_people(url))
    finally:
        shutil.rmtree(directory)


def _people(url: str) -> tuple[dict[tuple[Role, str], str], dict[tuple[Role, str], int]]:
    engine = sync_engine(url)
    tokens: dict[tuple[Role, str], str] = {}
    accounts: dict[tuple[Role, str], int] = {}
    with engine.begin() as connection:
        for role in ROLES:
            for number, (place, part) in enumerate(PLACES.items()):
                email = f"{role}-{number}@clinic.example"
                everywhere = role if part.study is None else None
                person = connection.execute(insert_user(email, "no hash", everywhere)).scalar_one()
                accounts[role, place] = person
                if part.study is not None:
                    connection.execute(
                        insert(memberships).values(person=person, study=part.study, site=part.site, role=role)
                    )
                tokens[role, place] = issue_access_token(
                    Person(id=person, email=email, role=everywhere),
                    secret=DEVELOPMENT_JWT_SECRET,
                    algorithm="HS256",
                    now=datetime.now(UTC),
                    lifetime=timedelta(minutes=60),
                    token_id=uuid.uuid4().hex,
                )
    engine.dispose()
    return tokens, accounts
