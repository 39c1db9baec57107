"""Site hubs at the centre: what they tell, who wrote what through them, what they have to purge.

A tablet pushes to its hub, the hub pushes to the centre. The ingest log shall name the tablet all the same,
so a hub hands in its journal: revision, credential, when. Journal and documents may come in any order.

| what came first | what the journal does |
|---|---|
| the journal | its entry is the first receipt, `via` the hub; the document's own adds nothing |
| the document, by this hub | the entry, which names the hub, names the tablet from now on |
| the document, by the tablet itself or by another hub | nothing: that was the first receipt |
| an entry with a credential that was never enrolled at the site | the hub itself is named, with the reason |

What an erasure takes out of a site database, each hub of the site has to purge too. More may be named while a
hub is at it, or after it was quick: so a hub says *what* it purged, by the `version` of what it was told.

| when more is named | what follows |
|---|---|
| between the hub's question and its `done` | `done` is about less: nothing is forgotten, all is told |
| after its `done` | the task is open again, with the new names |
| while the hub is revoked | kept, since its disk may come back; until somebody says that it was wiped |
"""

import hashlib
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


def assign_purges(erasure: int, site: str) -> Insert:
    """Statement: a task for each hub whose disk may have documents of the site, in force or revoked."""
    d = devices.c
    wanted = (
        select(literal(erasure), d.site, d.device)
        .where(d.role == "hub", d.wiped_at.is_(None), d.site == site)
        .distinct()
    )
    return (
        insert(erasure_hub_tasks).from_select(["erasure", "site", "device"], wanted).on_conflict_do_nothing()
    )


def name_purged(erasure: int, site: str, revisions: Sequence[tuple[str, str]]) -> Insert:
    """Statement: the erasure's tasks at a site are about these (document id, revision) too, and open again
    where they were done; EVERY_LEAF stands for whatever the hub has of a document.
    """
    task = erasure_hub_tasks.c
    # Every task is written, open or not: so a `done` that is on its way is before this or after it.
    opened = (
        update(erasure_hub_tasks)
        .where(task.erasure == erasure, task.site == site)
        .values(done_at=None)
        .returning(task.id)
        .cte("opened")
    )
    doc_ids, revs = zip(*revisions, strict=True)
    unnested = func.unnest(cast(list(doc_ids), ARRAY(Text)), cast(list(revs), ARRAY(Text)))
    named = unnested.table_valued("doc_id", "rev").render_derived()
    wanted = select(opened.c.id, named.c.doc_id, named.c.rev).select_from(opened.join(named, true()))
    statement = insert(erasure_hub_documents).from_select(["task", "doc_id", "rev"], wanted)
    return statement.add_cte(opened).on_conflict_do_nothing()


def select_purges(hub: Hub, task: int | None = None) -> Select[*tuple[Any, ...]]:
    """Statement: (task, document id, revision) of what the hub still has to purge, of all its tasks or one,
    the oldest first.
    """
    c, document = erasure_hub_tasks.c, erasure_hub_documents.c
    which = [c.site == hub.site, c.device == hub.device, c.done_at.is_(None)]
    if task is not None:
        which.append(c.id == task)
    return (
        select(c.id, document.doc_id, document.rev)
        .join(erasure_hub_documents, document.task == c.id)
        .where(*which)
        .order_by(c.id, document.doc_id, document.rev)
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


def version_of(documents: Mapping[str, Sequence[str]]) -> str:
    """What names exactly these documents and revisions, in any order."""
    told = sorted((doc_id, sorted(revs)) for doc_id, revs in documents.items())
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]


def hold_purge(hub: Hub, task: int) -> Select[int]:
    """Statement: the task's id, if it is the hub's; nothing is named for it until the transaction ends."""
    c = erasure_hub_tasks.c
    which = (c.id == task, c.site == hub.site, c.device == hub.device)
    return select(c.id).where(*which).with_for_update()


def end_purge(task: int) -> Delete:
    """Statement: the hub has purged all that is named of the task, and nothing names it any more."""
    c = erasure_hub_tasks.c
    ended = (
        update(erasure_hub_tasks)
        .where(c.id == task)
        .values(done_at=func.coalesce(c.done_at, func.now()))
        .returning(c.id)
        .cte("ended")
    )
    return delete(erasure_hub_documents).where(erasure_hub_documents.c.task == task).add_cte(ended)


def note_wiped(site: str, device: str) -> Update:
    """Statement: the disk of a hub that is revoked is gone; no row where there was no such hub, or it is in
    force. Enrolled again under its name, it is another disk.
    """
    c, other = devices.c, devices.alias()
    in_force = (
        select(other.c.credential)
        .where(other.c.site == site, other.c.device == device, other.c.revoked_at.is_(None))
        .exists()
    )
    return (
        update(devices)
        .where(c.site == site, c.device == device, c.role == "hub", ~in_force)
        .values(wiped_at=func.coalesce(c.wiped_at, func.now()))
        .returning(c.credential)
    )


def forget_purges_of_wiped(site: str, device: str) -> Delete:
    """Statement: what a hub had to purge whose disk is gone, names and tasks."""
    c = erasure_hub_tasks.c
    return delete(erasure_hub_tasks).where(c.site == site, c.device == device)
