"""A job as a document of `_replicator`, and what has to be written there. Pure.

The document's id is the job's, so writing it twice is one; its content follows from the job alone, so who
looks sees whether somebody has changed it.

    job 7, generation 2, attempt 3
      → {"_id": "replication-job:7", "source": …, "target": …, "continuous": true,
         "selector": {"_id": {"$regex": "^(?:session|consent|device):", "$ne": "replication-job:7/2"}},
         "checkpoint_interval": 5003}

A scheduler names a replication by its sides and its selector, and keeps checkpoints by that name. So another
**generation** is another replication: it finds no checkpoint, and compares everything. `since_seq` would do
that at each start again, and `use_checkpoints` would keep none. No document has the id that is left out.
Another **attempt** is the same replication in another document: it is begun at once, from its checkpoint.

Selectors go by the id and not by `type`: a deletion has an id and no type. No job replicates design
documents: those of another side would decide here what may be written, and provisioning brings each its own.

| found in `_replicator` | follows |
|---|---|
| the document as it has to be, also with what the scheduler wrote into it | nothing |
| none, or another one (deleted or changed by hand, another password) | it is written |
| a job that goes on for ever is said to be completed | it is written: its end was another document's |
| the document of a job that is paused, cancelled or unknown | it is deleted |
| documents of others | they are let be |
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from reporting.replication_jobs.rows import WantedJob
from reporting.sites import database_of
from sync_server.policy import COLLECTED_TYPES, PUBLISHED_TYPES
from sync_server.replication_jobs.credentials import Credential

PREFIX: Final = "replication-job:"
CHECKPOINT_MS: Final = 5_000
ATTEMPTS_TOLD_APART: Final = 1_000

_NO_DESIGN_DOCUMENT: Final = "^[^_]"
"""Of all documents that are replicated only these have ids that begin so."""

_WRITTEN_BY_THE_STORE: Final = ("_id", "_rev", "owner")


class LocalSide(msgspec.Struct, frozen=True):
    """How the scheduler finds this server's databases: by name, or (Apache CouchDB) at `base` as `login`."""

    base: str | None = None
    login: Credential | None = None


class Plan(msgspec.Struct, frozen=True):
    """What has to be written: documents with the revision they replace, and (id, revision) to be deleted."""

    put: Sequence[Mapping[str, Any]]
    delete: Sequence[tuple[str, str]]


def document_id(job: int) -> str:
    """Of a job."""
    return f"{PREFIX}{job}"


def job_of_document(doc_id: str) -> int | None:
    """The job that a document is of; None where it is another's."""
    name, prefix, number = doc_id.partition(PREFIX)
    return (
        int(number)
        if not name and prefix and number.isascii() and number.isdecimal() and len(number) < 20
        else None
    )


def selector_of(job: WantedJob) -> dict[str, Any]:
    """Which documents a job replicates; names the generation, see the module."""
    marker = f"{document_id(job.id)}/{job.generation}"
    if job.kind == "custom":
        own: dict[str, Any] = {"_id": {"$regex": _NO_DESIGN_DOCUMENT, "$ne": marker}}
        return own if job.selector is None else {"$and": [job.selector, own]}
    types = COLLECTED_TYPES if job.kind == "collected" else PUBLISHED_TYPES
    return {"_id": {"$regex": f"^(?:{'|'.join(types)}):", "$ne": marker}}


def document_of(job: WantedJob, local: LocalSide, credential: Credential | None) -> dict[str, Any]:
    """The document. `credential` is the other side's, opened; it is only needed for an Apache CouchDB."""
    here = _local(local, database_of(job.site))
    there = _remote(job, credential, by_reference=local.base is None)
    source, target = (here, there) if job.direction == "push" else (there, here)
    return {
        "_id": document_id(job.id),
        "source": source,
        "target": target,
        "continuous": job.continuous,
        "selector": selector_of(job),
        "checkpoint_interval": CHECKPOINT_MS + job.attempt % ATTEMPTS_TOLD_APART,
    }


def _local(local: LocalSide, database: str) -> str | dict[str, Any]:
    if local.base is None:
        return database
    side: dict[str, Any] = {"url": f"{local.base}/{database}"}
    return side | ({} if local.login is None else _plain(local.login))


def _remote(job: WantedJob, credential: Credential | None, *, by_reference: bool) -> dict[str, Any]:
    side: dict[str, Any] = {"url": job.url}
    if job.credential is None:
        return side
    if by_reference:
        return side | {"auth": {"reference": job.credential.decode()}}
    return side | ({} if credential is None else _plain(credential))


def _plain(credential: Credential) -> dict[str, Any]:
    if credential.token is not None:
        return {"headers": {"Authorization": credential.header}}
    return {"auth": {"basic": {"username": credential.user, "password": credential.password}}}


def plan(wanted: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> Plan:
    """What has to be written, by the documents' ids; `found` with their revisions."""
    put = [
        document if doc_id not in found else {**document, "_rev": found[doc_id]["_rev"]}
        for doc_id, document in wanted.items()
        if doc_id not in found or _differs(document, found[doc_id])
    ]
    surplus = [
        (doc_id, str(document["_rev"]))
        for doc_id, document in found.items()
        if doc_id not in wanted and job_of_document(doc_id) is not None
    ]
    return Plan(put, surplus)


def _differs(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    if wanted["continuous"] and found.get("_replication_state") == "completed":
        return True
    told = {
        name: value
        for name, value in found.items()
        if name not in _WRITTEN_BY_THE_STORE and not name.startswith("_replication_")
    }
    return told != {name: value for name, value in wanted.items() if name != "_id"}
