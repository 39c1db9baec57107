"""Research access: which login of Postgres may read what, and how studies are de-identified."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    TextClause,
    func,
    text,
)

from reporting.tables.base import Timestamp, metadata


def new_secret() -> TextClause:
    """32 bytes of which 244 bits are random, made in Postgres."""
    return text("sha256((uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))")


research_grants = Table(
    "research_grants",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("login", Text, nullable=False, comment="role of Postgres: `researcher_…`"),
    Column("study", Text, nullable=False),
    Column("site", Text, comment="NULL = every site of the study"),
    Column("identified", Boolean, nullable=False, server_default="false", comment="sees codes and dates"),
    Column("expires_at", Timestamp, comment="NULL = until it is withdrawn"),
    Column("granted_by", Text, nullable=False),
    Column("granted_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_research_grants_study"),
    ForeignKeyConstraint(["site"], ["sites.code"], name="fk_research_grants_site"),
    CheckConstraint("login LIKE 'researcher\\_%'", name="login_known"),
    Index(
        "uq_research_grants_login_study_site",
        "login",
        "study",
        "site",
        unique=True,
        postgresql_nulls_not_distinct=True,
    ),
)

research_policies = Table(
    "research_policies",
    metadata,
    Column("study", Text, primary_key=True),
    Column("participants", Text, nullable=False, server_default="pseudonym"),
    Column("dates", Text, nullable=False, server_default="shifted"),
    Column("shift_days", Integer, nullable=False, server_default="180", comment="the most, back or forth"),
    Column(
        "secret",
        LargeBinary,
        nullable=False,
        server_default=new_secret(),
        comment="of pseudonyms and shifts; never leaves Postgres",
    ),
    Column("pseudonyms_since", Timestamp, nullable=False, server_default=func.now()),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_research_policies_study", ondelete="CASCADE"),
    CheckConstraint("participants IN ('code', 'pseudonym')", name="participants_known"),
    CheckConstraint("dates IN ('actual', 'shifted', 'days')", name="dates_known"),
    CheckConstraint("shift_days BETWEEN 1 AND 3650", name="shift_days_sensible"),
    CheckConstraint("octet_length(secret) >= 32", name="secret_long"),
    comment="A study without a row shows codes and dates to `identified` grants only.",
)
