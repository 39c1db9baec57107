"""Requests that may be sent twice, and what was answered: see `sync_server.api.idempotency`."""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text, func
from sqlalchemy.dialects.postgresql import JSONB

from reporting.tables.base import Timestamp, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("person", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True, comment="as the caller chose it"),
    Column("request", Text, nullable=False, comment="method, target, digest of rights"),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("status", Integer, comment="of the answer"),
    Column("headers", JSONB, comment="of the answer"),
    Column("answer", LargeBinary, comment="sealed; NULL = not kept"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Index(None, "created_at"),
)
