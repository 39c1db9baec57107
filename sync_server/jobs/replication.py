"""The handler of `replication`: jobs are brought into the store's `_replicator`, then looked at.

| what happens | outcome |
|---|---|
| the worker dies anywhere | the entry is begun again; every step finds what is done |
| the store is away | the entry fails and is tried again; nothing is recorded |
| a document cannot be written | the others are; the job's error says why; the next look tries again |
| a job is changed while it is looked at | that look is not recorded for it, and the change has its own |
| something was written | a job is looked at again soon: the scheduler needs a moment |
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
import structlog
from sqlalchemy import func, select

from replication.client import CouchClient, basic_login
from replication.errors import CouchError
from reporting.outbox.claims import Started
from reporting.outbox.policy import Failed
from reporting.replication_jobs.health import Look
from reporting.replication_jobs.observing import Seen, record_looks
from reporting.replication_jobs.requests import ask_for_look
from reporting.replication_jobs.rows import WantedJob, select_wanted, wanted_of
from sync_server.jobs.resources import Resources
from sync_server.replication_jobs.credentials import Credential, NotForThisUrl, open_sealed
from sync_server.replication_jobs.documents import LocalSide, document_id, document_of, plan
from sync_server.replication_jobs.looks import COUCHDB, EMBEDDED, look_of, shown_reason
from sync_server.replication_jobs.replicator import StoreReplicator
from sync_server.sealing import CannotOpen, Sealer
from sync_server.settings import Settings
from sync_server.store_client import STORE_CLIENT_TIMEOUT

SOON: Final = timedelta(seconds=3)

log = structlog.get_logger()


def couchdb_of(settings: Settings) -> str | None:
    """The Apache CouchDB that replicates, with its login; None: the embedded store does."""
    if settings.couchdb_url is not None:
        return settings.couchdb_url.rstrip("/")
    feed = settings.feed_url
    return feed if urlsplit(feed).username is not None else None


def local_side(settings: Settings) -> LocalSide:
    """How the scheduler finds the site databases."""
    url = couchdb_of(settings)
    if url is None:
        return LocalSide()
    parts = urlsplit(url)
    base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.username is None:
        return LocalSide(base)
    return LocalSide(base, Credential(user=unquote(parts.username), password=unquote(parts.password or "")))


async def look_after_jobs(entry: Started, resources: Resources) -> Failed | None:  # noqa: ARG001
    """All jobs; what the entry says is only that it is time."""
    async with resources.engine.connect() as connection:
        rows = (await connection.execute(select_wanted())).all()
    jobs = [wanted_of(row) for row in rows]
    try:
        async with _replicator(resources) as replicator:
            seen, wrote = await _bring_about(jobs, replicator, resources)
    except CouchError as error:
        return Failed(f"The store's replicator cannot be asked: {error.error}: {error.reason}"[:500])
    patience = timedelta(minutes=resources.settings.replication_stuck_minutes)
    async with resources.engine.begin() as connection:
        await connection.run_sync(partial(record_looks, seen=seen, patience=patience))
        if wrote or any(each.look.state == "initializing" and each.look.error is None for each in seen):
            soon = await connection.scalar(select(func.now() + SOON))
            await connection.execute(ask_for_look(soon))
    return None


async def _bring_about(
    jobs: Sequence[WantedJob], replicator: StoreReplicator, resources: Resources
) -> tuple[list[Seen], bool]:
    local = local_side(resources.settings)
    credentials: dict[int, Credential | None] = {}
    problems: dict[int, str] = {}
    for job in jobs:
        try:
            credentials[job.id] = _opened(job, resources.sealer)
        except (CannotOpen, NotForThisUrl) as error:
            problems[job.id] = f"Its credential cannot be used: {error} Give it again."
    wanted = {
        document_id(job.id): document_of(job, local, credentials[job.id])
        for job in jobs
        if job.id in credentials
    }
    planned = plan(wanted, await replicator.documents())
    refused = await replicator.apply(planned)
    if planned.put or planned.delete:
        log.info(
            "replication jobs written",
            put=len(planned.put),
            deleted=len(planned.delete),
            refused=sorted(refused),
        )
    documents, scheduled = await replicator.scheduled()
    written = {str(document["_id"]) for document in planned.put}
    backoff = EMBEDDED if local.base is None else COUCHDB
    seen = []
    for job in jobs:
        doc_id = document_id(job.id)
        credential = credentials.get(job.id)
        secrets = credential.secrets if credential is not None else ()
        problem = problems.get(job.id) or refused.get(doc_id)
        if problem is not None:
            look = Look(state="error", error=shown_reason(problem, secrets))
        elif doc_id in written:
            # What the scheduler has may still be of the document before.
            look = Look()
        else:
            look = look_of(documents.get(doc_id), scheduled.get(doc_id), backoff=backoff, secrets=secrets)
        seen.append(Seen(job.id, job.generation, job.attempt, look))
    return seen, bool(planned.put or planned.delete)


def _opened(job: WantedJob, sealer: Sealer) -> Credential | None:
    return None if job.credential is None else open_sealed(sealer, job.url, job.credential)


@asynccontextmanager
async def _replicator(resources: Resources) -> AsyncIterator[StoreReplicator]:
    """Of the store: through its `/db` where it is embedded, else directly at the Apache CouchDB."""
    settings = resources.settings
    url = couchdb_of(settings)
    if url is None or url == settings.feed_url:
        yield StoreReplicator(resources.client)
        return
    local = local_side(settings)
    login = local.login
    headers = basic_login(login.user or "", login.password or "") if login is not None else None
    async with aiohttp.ClientSession(timeout=STORE_CLIENT_TIMEOUT) as session:
        yield StoreReplicator(CouchClient(session, local.base or "", headers=headers))
