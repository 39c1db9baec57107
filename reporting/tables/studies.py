"""What study teams set up: studies, sites, who takes part, what is measured. Written by people.

`row_version` grows by one at each change of a row: it is the row's ETag, and a change that names another one
is refused. `participants` and `batteries` are what sessions refer to; see `reporting.projection.references`.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from reporting.tables.base import Timestamp, metadata

studies = Table(
    "studies",
    metadata,
    Column("code", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("description", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False, server_default="active"),
    Column("consent_required", Boolean, nullable=False, server_default="false"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    CheckConstraint("status IN ('draft', 'active', 'paused', 'completed')", name="status_known"),
)

sites = Table(
    "sites",
    metadata,
    Column("code", Text, primary_key=True, comment="its database is `site-<code>`"),
    Column("name", Text, nullable=False, server_default=""),
    Column("timezone", Text, nullable=False, server_default="UTC", comment="IANA name"),
    Column("status", Text, nullable=False, server_default="open"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    CheckConstraint("status IN ('open', 'archived')", name="status_known"),
)

study_sites = Table(
    "study_sites",
    metadata,
    Column("study", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("added_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "site"),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_study_sites_study"),
    ForeignKeyConstraint(["site"], ["sites.code"], name="fk_study_sites_site"),
    Index(None, "site"),
    comment="Which study runs where.",
)

RECORD_INDEX = "ix_participants_study_redcap_id"

participants = Table(
    "participants",
    metadata,
    Column("study", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("site", Text, comment="NULL = known by code only; published to no tablet"),
    Column("status", Text, nullable=False, server_default="enrolled"),
    Column("language", Text),
    Column("contact", LargeBinary, comment="sealed: names, addresses; published nowhere"),
    Column("enrolled_on", Date, comment="anchor of visits"),
    Column("redcap_id", Text, comment="their record in the study's REDCap project"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "code"),
    CheckConstraint("status IN ('screened', 'enrolled', 'withdrawn', 'completed')", name="status_known"),
    Index(None, "site"),
    Index(RECORD_INDEX, "study", "redcap_id", unique=True, postgresql_where=text("redcap_id IS NOT NULL")),
)

batteries = Table(
    "batteries",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tasks", ARRAY(Text), comment="the tasks of which it consists; NULL = not known here"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("title", Text, nullable=False, server_default=""),
    Column("definition", JSONB, comment="as tablets get it; NULL = known by id only"),
    Column("published_by", Text),
    PrimaryKeyConstraint("id", "version"),
    comment="Published versions: they never change.",
)

battery_drafts = Table(
    "battery_drafts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("definition", JSONB, nullable=False),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
    comment="What will be the next version of a battery.",
)

study_batteries = Table(
    "study_batteries",
    metadata,
    Column("study", Text, nullable=False),
    Column("battery_id", Text, nullable=False),
    Column("battery_version", Integer, nullable=False),
    Column("added_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("study", "battery_id", "battery_version"),
    ForeignKeyConstraint(["study"], ["studies.code"], name="fk_study_batteries_study"),
    ForeignKeyConstraint(
        ["battery_id", "battery_version"],
        ["batteries.id", "batteries.version"],
        name="fk_study_batteries_battery",
    ),
    comment="Which published batteries tablets of a study's sites get.",
)

task_modules = Table(
    "task_modules",
    metadata,
    Column("id", Text, primary_key=True, comment="the name of the task in sessions"),
    Column("title", Text, nullable=False, server_default=""),
    Column("description", Text, nullable=False, server_default=""),
    Column("parameters", JSONB, nullable=False, comment="JSON Schema of its parameters"),
    Column("defaults", JSONB, nullable=False, comment="parameters where a battery says nothing"),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
)

item_banks = Table(
    "item_banks",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("definition", JSONB, nullable=False, comment="items with IRT parameters, calibration metadata"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("published_by", Text),
    PrimaryKeyConstraint("id", "version"),
    comment="Published versions: they never change.",
)

item_bank_drafts = Table(
    "item_bank_drafts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("definition", JSONB, nullable=False),
    Column("row_version", Integer, nullable=False, server_default="1"),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now()),
)
