"""Python's CouchDB clients, both directions: what they write is there, what is there they read.

CouchDB-Python for scripts and dumps, IBM's SDK for administration.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from replication.http.access import allow_everything
from tests.contract.couch import Couch, Db, embedded_in, fresh_database
from tests.contract.varied import LEAVES, varied_documents

# Both are older than what Python has deprecated since; what they do on the wire is what counts here.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
async def couch(tmp_path: Path) -> AsyncIterator[Couch]:
    async with embedded_in(tmp_path / "store", allow_everything) as running:
        yield running


@pytest.fixture
async def db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


@pytest.fixture
async def other_db(couch: Couch) -> AsyncIterator[Db]:
    async with fresh_database(couch) as database:
        yield database


# --- CouchDB-Python ----------------------------------------------------------------------------------------


def couchdb_server(couch: Couch) -> Any:
    import couchdb  # noqa: PLC0415 (its import warns)

    return couchdb.Server(couch.base + "/")


async def test_couchdb_python_pushes_every_kind_of_leaf(couch: Couch, db: Db, other_db: Db) -> None:
    def push() -> list[Any]:
        return list(couchdb_server(couch)[db.name].update(varied_documents(), new_edits=False))

    assert await asyncio.to_thread(push) == []
    await other_db.push(*varied_documents())
    assert await db.everything() == await other_db.everything()


async def test_couchdb_python_reads_every_leaf_and_attachment(couch: Couch, db: Db) -> None:
    await db.push(*varied_documents())

    def read() -> dict[str, list[Any]]:
        database = couchdb_server(couch)[db.name]
        found = {}
        for row in database.changes(style="all_docs")["results"]:
            _, _, leaves = database.resource(row["id"]).get_json(
                open_revs="all", revs=True, attachments=True, headers={"Accept": "application/json"}
            )
            found[row["id"]] = sorted((leaf["ok"] for leaf in leaves), key=lambda leaf: leaf["_rev"])
        attachment = database.get_attachment("attached", "notes.txt").read()
        assert attachment == b"same " * 900
        return found

    assert await asyncio.to_thread(read) == await db.everything()


async def test_couchdb_python_edits_deletes_and_meets_conflicts(couch: Couch, db: Db) -> None:
    def work() -> tuple[str, bool]:
        import couchdb  # noqa: PLC0415 (its import warns)

        database = couchdb_server(couch)[db.name]
        doc_id, rev = database.save({"_id": "a", "n": 1})
        database.put_attachment(database["a"], b"hello", "greeting.txt", "text/plain")
        assert database.get_attachment("a", "greeting.txt").read() == b"hello"
        with pytest.raises(couchdb.ResourceConflict):
            database.save({"_id": "a", "_rev": rev, "n": 2})
        found = [row.id for row in database.view("_all_docs")]
        assert found == ["a"]
        database.delete(database["a"])
        with pytest.raises(couchdb.ResourceNotFound):
            database["a"]
        database.purge([{"_id": "a", "_rev": database.changes()["results"][0]["changes"][0]["rev"]}])
        return doc_id, "a" in database

    assert await asyncio.to_thread(work) == ("a", False)
    assert (await db.changes())["results"] == []


async def test_couchdb_python_starts_a_replication(couch: Couch, db: Db, other_db: Db) -> None:
    await db.push(*varied_documents())

    def replicate() -> Any:
        return couchdb_server(couch).replicate(db.base, other_db.base)

    told = await asyncio.to_thread(replicate)
    assert told["history"][0]["docs_written"] == LEAVES
    assert await other_db.everything() == await db.everything()


async def test_couchdb_pythons_dump_loads_again(couch: Couch, db: Db, other_db: Db, tmp_path: Path) -> None:
    await db.save("a", n=1)
    await db.put(
        "/b", {"_attachments": {"f": {"content_type": "text/plain", "data": base64.b64encode(b"x").decode()}}}
    )

    def dump_and_load() -> None:
        from couchdb.tools import dump, load  # noqa: PLC0415 (their import warns)

        path = tmp_path / "dump"
        with path.open("wb") as file:
            dump.dump_db(db.base, output=file)
        with path.open("rb") as file:
            load.load_db(file, other_db.base)

    await asyncio.to_thread(dump_and_load)
    assert (await other_db.get("/a")).ok()["n"] == 1
    assert (await other_db.get("/b/f")).body == b"x"


# --- IBM's SDK ---------------------------------------------------------------------------------------------


@pytest.fixture
def cloudant(couch: Couch) -> Iterator[Any]:
    from ibm_cloud_sdk_core.authenticators import NoAuthAuthenticator  # noqa: PLC0415 (its import is slow)
    from ibmcloudant.cloudant_v1 import CloudantV1  # noqa: PLC0415 (its import is slow)

    service = CloudantV1(authenticator=NoAuthAuthenticator())
    service.set_service_url(couch.base)
    yield service
    service.get_http_client().close()


async def test_ibms_sdk_pushes_and_pulls_every_kind_of_leaf(cloudant: Any, db: Db, other_db: Db) -> None:
    def push_and_pull() -> None:
        bulk = {"docs": varied_documents(), "new_edits": False}
        assert cloudant.post_bulk_docs(db=db.name, bulk_docs=bulk).get_result() == []
        changes = cloudant.post_changes(db=db.name, style="all_docs").get_result()["results"]
        wanted = [{"id": row["id"], "rev": leaf["rev"]} for row in changes for leaf in row["changes"]]
        diff = cloudant.post_revs_diff(
            db=other_db.name,
            document_revisions={row["id"]: [leaf["rev"] for leaf in row["changes"]] for row in changes},
        ).get_result()
        assert sum(len(found["missing"]) for found in diff.values()) == LEAVES
        got = cloudant.post_bulk_get(db=db.name, docs=wanted, revs=True, attachments=True).get_result()
        docs = [doc["ok"] for row in got["results"] for doc in row["docs"]]
        cloudant.post_bulk_docs(db=other_db.name, bulk_docs={"docs": docs, "new_edits": False})

    await asyncio.to_thread(push_and_pull)
    assert await other_db.everything() == await db.everything()


async def test_ibms_sdk_administers_queries_and_attaches(cloudant: Any, db: Db) -> None:
    def work() -> None:
        saved = cloudant.put_document(db=db.name, doc_id="a", document={"type": "visit", "n": 1}).get_result()
        put = cloudant.put_attachment(
            db=db.name,
            doc_id="a",
            attachment_name="f.txt",
            attachment=b"hello",
            content_type="text/plain",
            rev=saved["rev"],
        ).get_result()
        got = cloudant.get_attachment(db=db.name, doc_id="a", attachment_name="f.txt").get_result()
        assert got.content == b"hello"
        cloudant.post_index(db=db.name, index={"fields": ["type"]}, name="by-type")
        found = cloudant.post_find(db=db.name, selector={"type": "visit"}, fields=["_id", "n"]).get_result()
        assert found["docs"] == [{"_id": "a", "n": 1}]
        security = {"admins": {"names": [], "roles": []}, "members": {"names": ["x"], "roles": []}}
        cloudant.put_security(db=db.name, admins=security["admins"], members=security["members"])
        assert cloudant.get_security(db=db.name).get_result()["members"]["names"] == ["x"]
        cloudant.delete_document(db=db.name, doc_id="a", rev=put["rev"])
        assert cloudant.get_database_information(db=db.name).get_result()["doc_del_count"] == 1
        assert cloudant.get_session_information().get_result()["ok"] is True
        assert cloudant.get_scheduler_jobs().get_result()["jobs"] == []

    await asyncio.to_thread(work)


async def test_ibms_changes_follower_sees_every_change(cloudant: Any, db: Db) -> None:
    await db.push(*varied_documents())

    def follow() -> list[str]:
        from ibmcloudant.features.changes_follower import ChangesFollower  # noqa: PLC0415

        return [row.id for row in ChangesFollower(service=cloudant, db=db.name).start_one_off()]

    ids = await asyncio.to_thread(follow)
    assert sorted(ids) == sorted(await db.everything())
