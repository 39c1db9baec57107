"""What has to happen outside Postgres, written in the transaction of its cause. See `reporting.outbox`.

The relay is woken by a trigger: whoever writes an entry need not think of it.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False, comment="what is done: publication, webhook, mail, …"),
    Column("key", Text, nullable=False, comment="the effect: one row, whatever happens twice"),
    Column(
        "ticket", BigInteger, nullable=False, server_default="1", comment="grows when it is asked for again"
    ),
    Column("study", Text),
    Column("site", Text),
    Column("payload", JSONB, nullable=False, comment="never a secret, never a contact"),
    Column("payload_sha256", LargeBinary, nullable=False),
    Column("state", Text, nullable=False, server_default="pending"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Timestamp, nullable=False, server_default=func.now()),
    Column(
        "lease", BigInteger, nullable=False, server_default="0", comment="fencing token of the last claim"
    ),
    Column("leased_until", Timestamp),
    Column("started_at", Timestamp, comment="when a worker began it; NULL while it is only claimed"),
    Column("error", Text, comment="of the last attempt"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("ended_at", Timestamp),
    UniqueConstraint("kind", "key"),
    CheckConstraint("state IN ('pending', 'leased', 'done', 'dead', 'discarded')", name="state_known"),
    Index("ix_outbox_due", "next_attempt_at", postgresql_where=text("state IN ('pending', 'leased')")),
    Index("ix_outbox_leased", "leased_until", postgresql_where=text("state = 'leased'")),
    Index("ix_outbox_dead", "id", postgresql_where=text("state = 'dead'")),
)

outbox_attempts = Table(
    "outbox_attempts",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("entry", BigInteger, nullable=False, comment="outbox.id"),
    Column("lease", BigInteger, nullable=False),
    Column("started_at", Timestamp, nullable=False),
    Column("ended_at", Timestamp, nullable=False, server_default=func.now()),
    Column("outcome", Text, nullable=False),
    Column("error", Text),
    CheckConstraint(
        "outcome IN ('done', 'failed', 'given_up', 'discarded', 'retried')", name="outcome_known"
    ),
    Index(None, "entry"),
    comment="What was tried, and what came of it.",
)

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("ran_at", Timestamp, nullable=False),
    comment="What a relay does now and then, and when it was last done.",
)

CHANNEL: Final = "outbox"

CREATE_NOTIFY: Final = """
CREATE FUNCTION notify_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox', '');
    RETURN NULL;
END
$$
"""
CREATE_TRIGGER: Final = """
CREATE TRIGGER outbox_entered AFTER INSERT ON outbox
FOR EACH STATEMENT EXECUTE FUNCTION notify_outbox()
"""


@event.listens_for(metadata, "after_create")
def _create(_: MetaData, connection: Connection, **_options: object) -> None:
    connection.execute(text(CREATE_NOTIFY))
    connection.execute(text(CREATE_TRIGGER))


@event.listens_for(metadata, "after_drop")
def _drop(_: MetaData, connection: Connection, **_options: object) -> None:
    connection.execute(text("DROP FUNCTION IF EXISTS notify_outbox()"))
