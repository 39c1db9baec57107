"""Two databases that replicate as a tablet does, over HTTP alone, end with the same revisions."""

import base64
import random
from typing import Any

from tests.contract.couch import Db


async def replicate(source: Db, target: Db) -> int:
    """One-way replication as the protocol has it, from the checkpoint on; how many revisions were sent."""
    mark = f"/_local/from-{source.name}"
    known = await target.get(mark)
    since = known.json["since"] if known.status == 200 else "0"
    sent = 0
    while True:
        page = await source.changes(since=since, limit="7", style="all_docs")
        if not page["results"]:
            return sent
        revs = {row["id"]: [leaf["rev"] for leaf in row["changes"]] for row in page["results"]}
        missing = (await target.post("/_revs_diff", revs)).ok()
        wanted = [{"id": doc_id, "rev": rev} for doc_id, diff in missing.items() for rev in diff["missing"]]
        answer = await source.post(
            "/_bulk_get", {"docs": wanted}, revs="true", latest="true", attachments="true"
        )
        docs = [doc["ok"] for row in answer.ok()["results"] for doc in row["docs"]]
        await target.push(*docs)
        sent += len(docs)
        since = page["last_seq"]
        known = await target.get(mark)
        base = {"_rev": known.json["_rev"]} if known.status == 200 else {}
        (await target.put(mark, {"since": since, **base})).ok(201)


async def state(db: Db) -> dict[str, Any]:
    """Every leaf of every document with its content and its ancestors."""
    rows = (await db.changes(style="all_docs"))["results"]
    wanted = [{"id": row["id"]} for row in rows]
    answer = await db.post("/_bulk_get", {"docs": wanted}, revs="true", attachments="true")
    found = {row["id"]: [doc["ok"] for doc in row["docs"]] for row in answer.ok()["results"]}
    return {doc_id: sorted(docs, key=lambda doc: str(doc["_rev"])) for doc_id, docs in found.items()}


async def edit(db: Db, doc_id: str, chance: random.Random) -> None:
    """What a person does on one device: create, change, sign, delete."""
    current = await db.get(f"/{doc_id}")
    content: dict[str, Any] = current.json if current.status == 200 else {}
    content["x"] = chance.randint(0, 3)
    if chance.random() < 0.3:
        data = base64.b64encode(f"{doc_id} {content['x']}".encode()).decode()
        content["_attachments"] = {"signature.png": {"content_type": "image/png", "data": data}}
    if current.status == 200 and chance.random() < 0.2:
        content["_deleted"] = True
    answer = await db.put(f"/{doc_id}", content)
    assert answer.status in (200, 201)


async def test_two_databases_edited_apart_become_one(db: Db, other_db: Db) -> None:
    chance = random.Random(3)
    for _ in range(4):
        for _ in range(12):
            await edit(chance.choice([db, other_db]), f"d{chance.randint(0, 5)}", chance)
        await replicate(db, other_db)
        await replicate(other_db, db)
        assert await state(db) == await state(other_db)
        for doc_id in await state(db):
            assert (await db.get(f"/{doc_id}")).json == (await other_db.get(f"/{doc_id}")).json
    assert any(len(docs) > 1 for docs in (await state(db)).values())
    assert await replicate(db, other_db) == 0
    assert await replicate(other_db, db) == 0


async def test_a_lost_checkpoint_sends_nothing_twice(db: Db, other_db: Db) -> None:
    chance = random.Random(4)
    for number in range(20):
        await edit(db, f"d{number % 7}", chance)
    assert await replicate(db, other_db) > 0
    before = await state(other_db)
    (await other_db.delete(f"/_local/from-{db.name}")).ok()
    assert await replicate(db, other_db) == 0
    assert await state(other_db) == before
