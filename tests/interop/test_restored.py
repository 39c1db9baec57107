"""A real PouchDB syncs with a database that was dumped, lost, and loaded again under its old name."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from replication.dump.comparing import ExpectedLeaves
from replication.dump.loading import Loaded, load_file
from replication.dump.place import Place
from replication.dump.writing import dump_database
from replication.http.access import allow_everything
from tests.contract.couch import Db, embedded_in, fresh_database, replicated
from tests.contract.varied import LEAVES, varied_documents
from tests.interop.pouchdb import node, run_tablet


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Db]:
    async with (
        embedded_in(tmp_path / "store", allow_everything) as couch,
        fresh_database(couch) as database,
    ):
        yield database


async def test_a_tablet_pushes_and_pulls_nothing_after_a_restore_but_what_came_since(
    db: Db, tmp_path: Path
) -> None:
    executable = node()
    await db.push(replicated("study:a", "2-b", "1-a"), replicated("study:gone", "2-d", "1-a", _deleted=True))
    tablet = {"url": db.base, "store": str(tmp_path / "tablet")}
    before = await run_tablet(executable, {**tablet, "edits": varied_documents(), "steps": ["push", "pull"]})
    assert [step["written"] for step in before["steps"]] == [LEAVES, 2]

    place = Place(db.session, db.base.rpartition("/")[0], dict)
    await dump_database(place, db.name, tmp_path / "dump")
    held = await db.everything()
    await run_tablet(executable, {**tablet, "docs": [{"_id": "later", "n": 1}], "steps": ["push"]})
    await place.client.request("DELETE", f"/{db.name}", dict[str, bool])
    await place.client.create(db.name)
    with ExpectedLeaves() as expected:
        await load_file(place, db.name, tmp_path / "dump", expected, Loaded())
    assert await db.everything() == held

    after = await run_tablet(executable, {**tablet, "steps": ["push", "pull"]})
    assert [step["written"] for step in after["steps"]] == [1, 0]
    assert (await db.get("/later")).ok()["n"] == 1
