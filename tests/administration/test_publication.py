"""Publication: site databases become what Postgres says, whatever happens in between."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from replication.client import CouchClient
from reporting.compiled import execute_in
from reporting.publication.consents import consent_states
from reporting.publication.deliver import Publisher
from reporting.publication.desired import Document
from reporting.publication.requests import publish_documents, publish_sites
from sync_server.jobs.site_documents import CouchSiteDocuments
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office


def furnish(office: Office) -> None:
    """SRO at lima with a battery, an item bank, three forms' versions, two people and a visit."""
    office.study("SRO", "lima", "quito")
    office.rows(
        "INSERT INTO batteries (id, version, title, definition) VALUES ('b', 1, 'B', %s::jsonb),"
        " ('b', 2, 'B2', %s::jsonb)",
        '{"tasks": [{"task": "stroop", "item_bank": {"id": "words", "version": 3}}]}',
        '{"tasks": []}',
    )
    office.rows("INSERT INTO item_banks (id, version, definition) VALUES ('words', 3, '{}'), ('x', 1, '{}')")
    office.rows("INSERT INTO study_batteries (study, battery_id, battery_version) VALUES ('SRO', 'b', 1)")
    office.rows(
        "INSERT INTO consent_forms (study, id, version, texts, supersedes) VALUES"
        " ('SRO', 'main', 1, '{}', false), ('SRO', 'main', 2, '{}', true), ('SRO', 'main', 3, '{}', false)"
    )
    office.rows(
        "INSERT INTO participants (study, code, site, language, contact) VALUES"
        " ('SRO', 's1', 'lima', 'es', 'secret'), ('SRO', 's2', 'lima', 'es', 'secret'),"
        " ('SRO', 's3', 'quito', 'es', NULL)"
    )
    office.rows("UPDATE participants SET status = 'withdrawn' WHERE code = 's2'")
    office.rows("INSERT INTO visit_definitions (study, code, anchor) VALUES ('SRO', 'v1', 'enrolment')")
    office.rows(
        "INSERT INTO visits (study, participant, code, site, due_on) VALUES"
        " ('SRO', 's1', 'v1', 'lima', '2026-05-01'), ('SRO', 's2', 'v1', 'lima', '2026-05-01')"
    )


LIMA = {
    "battery:b@1",
    "consent_form:SRO/main@2",
    "consent_form:SRO/main@3",
    "item_bank:words@3",
    "participant:SRO/s1",
    "study:SRO",
    "visit:SRO/s1/v1",
}


async def test_a_site_gets_what_its_studies_need_once_and_nothing_else(office: Office) -> None:
    await office.gateway.open_site("lima")
    furnish(office)
    async with at_desk(office) as desk:
        execute_in(office.connection, publish_sites(["lima"]))
        await desk.drain()
        documents = await desk.documents("lima")
        assert documents.keys() == LIMA
        assert documents["participant:SRO/s1"] == {
            "_id": "participant:SRO/s1",
            "_rev": documents["participant:SRO/s1"]["_rev"],
            "type": "participant",
            "schema": 1,
            "site": "lima",
            "study": "SRO",
            "participant": "s1",
            "status": "enrolled",
            "language": "es",
            "consent": {"state": "none"},
        }
        assert documents["visit:SRO/s1/v1"]["due_on"] == "2026-05-01"
        # Asked for again, by document and as a whole: nothing changed, so nothing is written.
        execute_in(office.connection, publish_documents([("lima", doc_id) for doc_id in LIMA]))
        execute_in(office.connection, publish_sites(["lima"]))
        await desk.drain()
        assert await desk.documents("lima") == documents
        assert {document["_rev"].partition("-")[0] for document in documents.values()} == {"1"}
        assert set(desk.states()["publication"]) == {"done"}


async def test_what_changes_is_written_and_what_is_over_is_taken_away(office: Office) -> None:
    await office.gateway.open_site("lima")
    await office.gateway.open_site("quito")
    furnish(office)
    async with at_desk(office) as desk:
        execute_in(office.connection, publish_sites(["lima", "quito"]))
        await desk.drain()
        service = office.gateway.service
        for doc_id in ("session:x", "other:y"):
            body = {"_id": doc_id}
            assert (
                await office.gateway.call("PUT", f"/site-lima/{doc_id}", token=service, body=body)
            ).status == 201
        # s1 moves to quito: their documents follow.
        office.rows("UPDATE participants SET site = 'quito' WHERE code = 's1'")
        moved = [(site, "participant:SRO/s1") for site in ("lima", "quito")]
        moved += [(site, "visit:SRO/s1/v1") for site in ("lima", "quito")]
        execute_in(office.connection, publish_documents(moved))
        await desk.drain()
        rest = LIMA - {"participant:SRO/s1", "visit:SRO/s1/v1"}
        assert (await desk.documents("lima")).keys() == rest | {"session:x", "other:y"}
        assert (await desk.documents("quito")).keys() == LIMA | {"participant:SRO/s3"}
        # And back: a document that was deleted comes again.
        office.rows("UPDATE participants SET site = 'lima' WHERE code = 's1'")
        execute_in(office.connection, publish_documents(moved))
        await desk.drain()
        assert (await desk.documents("lima")).keys() >= LIMA
        # The study ends: nothing published stays; what is not published is not touched.
        office.rows("UPDATE studies SET status = 'completed'")
        execute_in(office.connection, publish_sites(["lima"]))
        await desk.drain()
        assert (await desk.documents("lima")).keys() == {"session:x", "other:y"}
        # An archived site: the same.
        office.rows("UPDATE studies SET status = 'active'")
        office.rows("UPDATE sites SET status = 'archived' WHERE code = 'quito'")
        execute_in(office.connection, publish_sites(["quito"]))
        await desk.drain()
        assert await desk.documents("quito") == {}


async def test_a_site_without_a_database_waits_and_delays_no_other(office: Office) -> None:
    await office.gateway.open_site("quito")
    furnish(office)
    async with at_desk(office) as desk:
        execute_in(office.connection, publish_sites(["lima", "quito"]))
        await desk.drain()
        assert desk.states() == {"publication": ["pending", "done"]}
        [(error, attempts)] = office.rows("SELECT error, attempts FROM outbox WHERE state = 'pending'")
        assert "site-lima" in error
        assert attempts == 1
        await office.gateway.open_site("lima")
        office.rows("UPDATE outbox SET next_attempt_at = now()")
        await desk.drain()
        assert desk.states() == {"publication": ["done", "done"]}
        assert (await desk.documents("lima")).keys() == LIMA
        history = office.rows("SELECT outcome FROM outbox_attempts ORDER BY id")
        assert [outcome for (outcome,) in history].count("failed") == 1
        # A site that is archived and never had a database is done with.
        office.rows("INSERT INTO sites (code, status) VALUES ('old', 'archived')")
        execute_in(office.connection, publish_sites(["old"]))
        await desk.drain()
        assert desk.states() == {"publication": ["done", "done", "done"]}


async def test_drift_is_seen_and_mended_and_a_large_site_is_read_in_pages(office: Office) -> None:
    await office.gateway.open_site("lima")
    furnish(office)
    office.rows(
        "INSERT INTO participants (study, code, site)"
        " SELECT 'SRO', 'p' || n, 'lima' FROM generate_series(1, 450) n"
    )
    async with at_desk(office) as desk:
        look = publisher(desk, writes=False)
        drift = await look.publish_site("lima")
        assert len(drift.missing) == len(LIMA) + 450
        assert await desk.documents("lima") == {}
        drift = await publisher(desk).publish_site("lima")
        assert (len(drift.missing), drift.problems) == (len(LIMA) + 450, {})
        assert (await look.publish_site("lima")).found == 0
        documents = await desk.documents("lima")
        changed = {**documents["study:SRO"], "title": "by hand"}
        for document in (
            changed,
            {"_id": "participant:SRO/nobody", "type": "participant"},
            {"_id": "visit:SRO/s1/v1", "_rev": documents["visit:SRO/s1/v1"]["_rev"], "_deleted": True},
        ):
            answer = await office.gateway.call(
                "POST", "/site-lima/_bulk_docs", token=office.gateway.service, body={"docs": [document]}
            )
            assert answer.status == 201
        drift = await look.publish_site("lima")
        assert (drift.missing, drift.different, drift.surplus) == (
            ["visit:SRO/s1/v1"],
            ["study:SRO"],
            ["participant:SRO/nobody"],
        )
        assert (await publisher(desk).publish_site("lima")).found == 3
        assert (await look.publish_site("lima")).found == 0


class Interrupted(CouchSiteDocuments):
    """Something happens between what a worker has read and its first write."""

    def __init__(self, client: CouchClient, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(client)
        self._meanwhile: Callable[[], Awaitable[object]] | None = meanwhile

    async def write(self, database: str, documents: Sequence[Document]) -> Mapping[str, str]:
        if self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            await meanwhile()
        return await super().write(database, documents)


async def test_what_a_slow_worker_writes_when_it_is_not_wanted_any_more_is_taken_back(office: Office) -> None:
    await office.gateway.open_site("lima")
    furnish(office)
    async with at_desk(office) as desk:

        async def leave() -> None:
            # s1 leaves again, and another worker finds that nothing is there.
            office.rows("UPDATE participants SET site = 'quito' WHERE code = 's1'")
            assert (await publisher(desk).publish("lima", ["participant:SRO/s1"])).found == 0

        documents = Interrupted(desk.resources.client, leave)
        slow = Publisher(desk.resources.engine, documents, consent_states)
        await slow.publish("lima", ["participant:SRO/s1"])
        assert await desk.documents("lima") == {}


def publisher(desk: Desk, *, writes: bool = True) -> Publisher:
    documents = CouchSiteDocuments(desk.resources.client)
    return Publisher(desk.resources.engine, documents, consent_states, writes=writes)
