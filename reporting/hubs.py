"""Site hubs at the centre: what they tell, who wrote what through them, what they have to purge.

A tablet pushes to its hub, the hub pushes to the centre. The ingest log shall name the tablet all the same,
so a hub hands in its journal: revision, credential, when. Journal and documents may come in any order.

| what came first | what the journal does |
|---|---|
| the journal | its entry is the first receipt, `via` the hub; the document's own adds nothing |
| the document, by this hub | the entry, which names the hub, names the tablet from now on |
| the document, by the tablet itself or by another hub | nothing: that was the first receipt |
| an entry with a credential that was never enrolled at the site | the hub itself is named, with the reason |
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ARRAY,
    Delete,
    Insert,
    Select,
    Text,
    Update,
    and_,
    cast,
    delete,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from reporting.documents.text import key_text, without_nul
from reporting.tables import (
    devices,
    erasure_hub_documents,
    erasure_hub_tasks,
    erasure_targets,
    hubs,
    ingest_log,
)

_FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)

EVERY_LEAF: Final = ""
"""In place of a revision."""


class Hub(msgspec.Struct, frozen=True):
    """A hub's device and credential, at its site."""

    site: str
    device: str
    credential: str


class JournalEntry(msgspec.Struct, frozen=True):
    """One revision that a tablet pushed to a hub; `received_at` by the hub's clock."""

    doc_id: str
    rev: str
    credential: str
    received_at: datetime


class SyncAddress(msgspec.Struct, frozen=True):
    """How a hub is reached in its own network; `ca` is the fingerprint of its own authority, if any."""

    url: str
    ca: str | None


class SiteCredential(msgspec.Struct, frozen=True):
    """A credential of the site, for whoever checks tokens there."""

    id: str
    device: str
    role: str
    revoked: bool


def select_credentials_of_site(site: str) -> Select[*tuple[Any, ...]]:
    """Statement: the members of SiteCredential, by id."""
    c = devices.c
    return (
        select(c.credential, c.device, c.role, c.revoked_at.is_not(None))
        .where(c.site == site)
        .order_by(c.credential)
    )


def select_enrolled(site: str, credentials: Sequence[str]) -> Select[str, str, str]:
    """Statement: (credential, device, role) of those of these credentials that were ever enrolled there."""
    c = devices.c
    return select(c.credential, c.device, c.role).where(c.site == site, c.credential.in_(credentials))


def record_journal() -> Insert:
    """Statement: the rows of `journal_rows`, as the module says."""
    statement = insert(ingest_log)
    new, there = statement.excluded, ingest_log.c
    return statement.on_conflict_do_update(
        index_elements=["site", "doc_id", "rev", "outcome"],
        set_={
            **{name: new[name] for name in ("device", "role", "credential", "via", "hub_received_at")},
            # What had to be normalised of it stays on record.
            "reason": func.coalesce(new.reason, there.reason),
        },
        where=and_(there.via.is_(None), there.role == "hub", there.device == new.via),
    )


def journal_rows(
    hub: Hub, entries: Sequence[JournalEntry], enrolled: Mapping[str, tuple[str, str]], *, request_id: str
) -> list[dict[str, Any]]:
    """One row a revision, in a fixed order so that concurrent requests cannot deadlock. `enrolled`: device
    and role by credential.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        known = enrolled.get(entry.credential)
        device, role = known or (hub.device, "hub")
        rows.setdefault(
            (key_text(entry.doc_id), key_text(entry.rev)),
            {
                "site": hub.site,
                "doc_id": key_text(entry.doc_id),
                "rev": key_text(entry.rev),
                "outcome": "received",
                "device": device,
                "role": role,
                "credential": hub.credential if known is None else entry.credential,
                "request_id": request_id,
                "reason": None if known else _unknown(entry.credential),
                "via": hub.device,
                "hub_received_at": everywhere_readable(entry.received_at),
            },
        )
    return [rows[key] for key in sorted(rows)]


def everywhere_readable(at: datetime) -> datetime:
    """`at`, in UTC; a day from the ends of the calendar at least, so that it can be read in every zone."""
    try:
        return min(max(at.astimezone(UTC), _FIRST), _LAST)
    except OverflowError:
        return _FIRST if at.year == 1 else _LAST


def _unknown(credential: str) -> str:
    return f"the hub names the credential {without_nul(credential)[:80]!r}, which was never enrolled here"


def tell_status(hub: Hub, told: Mapping[str, Any]) -> Insert:
    """Statement: what the hub tells of itself; `told` are the columns but site, device and told_at."""
    statement = insert(hubs).values(site=hub.site, device=hub.device, **told)
    new = {name: statement.excluded[name] for name in told}
    return statement.on_conflict_do_update(
        index_elements=["site", "device"], set_={**new, "told_at": func.now()}
    )


def select_addresses(site: str) -> Select[*tuple[Any, ...]]:
    """Statement: the members of SyncAddress, of the hubs of a site that are in force."""
    h, d = hubs.c, devices.c
    in_force = (
        select(d.credential)
        .where(d.site == h.site, d.device == h.device, d.role == "hub", d.revoked_at.is_(None))
        .exists()
    )
    return select(func.unnest(h.urls), h.ca_fingerprint).where(h.site == site, in_force).order_by(h.device)


def assign_purges(erasure: int) -> Insert:
    """Statement: a task for each hub in force at a site where the erasure found something."""
    d, t = devices.c, erasure_targets.c
    at = select(t.site).where(t.erasure == erasure)
    wanted = (
        select(literal(erasure), d.site, d.device)
        .where(d.role == "hub", d.revoked_at.is_(None), d.site.in_(at))
        .distinct()
    )
    return (
        insert(erasure_hub_tasks).from_select(["erasure", "site", "device"], wanted).on_conflict_do_nothing()
    )


def name_purged(erasure: int, site: str, revisions: Sequence[tuple[str, str]]) -> Insert:
    """Statement: the erasure's open tasks at a site are about these (document id, revision) too; EVERY_LEAF
    stands for whatever the hub has of a document.
    """
    task = erasure_hub_tasks.c
    doc_ids, revs = zip(*revisions, strict=True)
    unnested = func.unnest(cast(list(doc_ids), ARRAY(Text)), cast(list(revs), ARRAY(Text)))
    named = unnested.table_valued("doc_id", "rev").render_derived()
    wanted = (
        select(task.id, named.c.doc_id, named.c.rev)
        .select_from(erasure_hub_tasks.join(named, true()))
        .where(task.erasure == erasure, task.site == site, task.done_at.is_(None))
    )
    statement = insert(erasure_hub_documents).from_select(["task", "doc_id", "rev"], wanted)
    return statement.on_conflict_do_nothing()


def select_purges(hub: Hub) -> Select[*tuple[Any, ...]]:
    """Statement: (task, document id, revision) of what the hub still has to purge, the oldest task first."""
    task, document = erasure_hub_tasks.c, erasure_hub_documents.c
    return (
        select(task.id, document.doc_id, document.rev)
        .join(erasure_hub_documents, document.task == task.id)
        .where(task.site == hub.site, task.device == hub.device, task.done_at.is_(None))
        .order_by(task.id, document.doc_id, document.rev)
    )


def purges_by_task(rows: Iterable[tuple[int, str, str]]) -> dict[int, dict[str, list[str]]]:
    """The rows of `select_purges` by task and document; an empty list: every leaf that there is."""
    tasks: dict[int, dict[str, list[str]]] = {}
    for task, doc_id, rev in rows:
        # EVERY_LEAF comes before any revision, and covers those that follow.
        revs = tasks.setdefault(task, {}).get(doc_id)
        if revs is None:
            tasks[task][doc_id] = [] if rev == EVERY_LEAF else [rev]
        elif revs:
            revs.append(rev)
    return tasks


def end_purge(hub: Hub, task: int) -> Update:
    """Statement: the hub has purged it → the task's id; no row where it has no such task."""
    c = erasure_hub_tasks.c
    return (
        update(erasure_hub_tasks)
        .where(c.id == task, c.site == hub.site, c.device == hub.device)
        .values(done_at=func.coalesce(c.done_at, func.now()))
        .returning(c.id)
    )


def forget_purged(task: int) -> Delete:
    """Statement: nothing names any more what the task was about."""
    return delete(erasure_hub_documents).where(erasure_hub_documents.c.task == task)


def forget_purges_of_revoked() -> Delete:
    """Statement: what hubs had to purge that are not in force any more; they never ask again."""
    task, d = erasure_hub_tasks.c, devices.c
    in_force = (
        select(d.credential)
        .where(d.site == task.site, d.device == task.device, d.role == "hub", d.revoked_at.is_(None))
        .exists()
    )
    over = select(task.id).where(~in_force)
    return delete(erasure_hub_documents).where(erasure_hub_documents.c.task.in_(over))
