"""The handler of `publication`: a batch of a site's documents, read once and written once."""

from collections.abc import Mapping, Sequence

import structlog

from reporting.outbox.claims import Started
from reporting.outbox.policy import Done, Dropped, Failed, Outcome
from reporting.publication.consents import consent_states
from reporting.publication.deliver import Drift, Publisher
from reporting.publication.desired import type_of
from reporting.publication.requests import WHOLE_SITE
from reporting.publication.site_documents import SiteDatabaseAway, SiteDatabaseMissing
from reporting.sites import is_site
from sync_server.jobs.resources import Resources
from sync_server.jobs.site_documents import CouchSiteDocuments

log = structlog.get_logger()


async def deliver_publications(entries: Sequence[Started], resources: Resources) -> Mapping[int, Outcome]:
    """Bring what the entries name up to date; a whole site covers every document of it."""
    publisher = Publisher(resources.engine, CouchSiteDocuments(resources.client), consent_states)
    wanted: dict[str, dict[str, list[int]]] = {}
    outcomes: dict[int, Outcome] = {}
    for entry in entries:
        site, doc_id = entry.payload.get("site"), entry.payload.get("doc_id")
        if not isinstance(site, str) or not is_site(site) or not isinstance(doc_id, str):
            outcomes[entry.id] = Failed("It names no document of a site.", final=True)
        elif doc_id != WHOLE_SITE and type_of(doc_id) is None:
            outcomes[entry.id] = Dropped("Documents of this type are not published.")
        else:
            wanted.setdefault(site, {}).setdefault(doc_id, []).append(entry.id)
    for site, by_document in wanted.items():
        outcomes |= await _site(publisher, site, by_document)
    return outcomes


async def _site(
    publisher: Publisher, site: str, by_document: Mapping[str, Sequence[int]]
) -> dict[int, Outcome]:
    everything = WHOLE_SITE in by_document
    try:
        drift = await (publisher.publish_site(site) if everything else publisher.publish(site, by_document))
    except SiteDatabaseMissing as error:
        # Nothing is published at a site that is archived or unknown, and without a database nothing is.
        missing: Outcome = Failed(str(error)) if await publisher.is_open(site) else Done()
        return {entry: missing for entries in by_document.values() for entry in entries}
    except SiteDatabaseAway as error:
        away = Failed(str(error))
        return {entry: away for entries in by_document.values() for entry in entries}
    _tell(site, drift, everything=everything)
    return {entry: _outcome(drift, doc_id) for doc_id, entries in by_document.items() for entry in entries}


def _outcome(drift: Drift, doc_id: str) -> Outcome:
    if doc_id == WHOLE_SITE and drift.problems:
        some = "; ".join(f"{name}: {why}" for name, why in list(drift.problems.items())[:5])
        return Failed(f"{len(drift.problems)} documents were not written: {some}")
    return Failed(drift.problems[doc_id]) if doc_id in drift.problems else Done()


def _tell(site: str, drift: Drift, *, everything: bool) -> None:
    log.info(
        "published",
        site=site,
        whole_site=everything,
        compared=drift.compared,
        missing=len(drift.missing),
        different=len(drift.different),
        surplus=len(drift.surplus),
        problems=len(drift.problems),
    )
