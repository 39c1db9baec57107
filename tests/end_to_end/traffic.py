"""Documents as a bad month in the field sends them: saves, conflicts, deletions, poison; what must remain.

Every write is a replicated edit, so it may be repeated until it is acknowledged: `Traffic` remembers the
leaves that the site database must have afterwards, whoever was killed meanwhile.
"""

import asyncio
import copy
import hashlib
import io
import itertools
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, NamedTuple

import aiohttp
import msgspec

from sync_server.demo.generate import generate_sessions

PATIENCE_S = 120.0

Document = dict[str, Any]


class Poison(NamedTuple):
    """What is done to a good session, and what must become of it."""

    spoil: Callable[[Document], Document]
    code: str
    """Of the quarantine entry, or of the flag."""
    is_projected: bool


def _member(**members: Any) -> Callable[[Document], Document]:
    return lambda document: {**document, **members}


def _trials(change: Callable[[list[Document]], None]) -> Callable[[Document], Document]:
    def spoil(document: Document) -> Document:
        spoilt = {**document, "tasks": copy.deepcopy(document["tasks"])}
        change(spoilt["tasks"][0]["trials"])
        return spoilt

    return spoil


def _deep(levels: int) -> Any:
    nested: Any = 1
    for _ in range(levels):
        nested = [nested]
    return nested


def _duplicate(trials: list[Document]) -> None:
    trials[1]["trial_index"] = trials[0]["trial_index"]


def _text_as_time(trials: list[Document]) -> None:
    trials[0]["rt"] = "fast"


def _nul(trials: list[Document]) -> None:
    trials[0]["stimulus"] = "a\x00b"


POISON: Mapping[str, Poison] = {
    "a required member is missing": Poison(_member(participant=None), "wrong_type", is_projected=False),
    "unknown newer schema": Poison(_member(schema=99), "unknown_schema", is_projected=False),
    "another site": Poison(_member(site="elsewhere"), "wrong_site", is_projected=False),
    "another type": Poison(_member(type="consent"), "type_mismatch", is_projected=False),
    "duplicate trial_index": Poison(_trials(_duplicate), "duplicate_trial_index", is_projected=False),
    "times in the wrong order": Poison(
        _member(ended_at="1999-01-01T00:00:00Z"), "times_out_of_order", is_projected=False
    ),
    "a time that is text": Poison(_trials(_text_as_time), "wrong_type", is_projected=False),
    "NUL": Poison(_trials(_nul), "nul_replaced", is_projected=True),
    "nested as deep as may be": Poison(_member(notes=_deep(490)), "", is_projected=True),
    "a study that nobody knows": Poison(_member(study="NOBODY"), "unknown_study", is_projected=True),
}
"""Ten kinds that are stored; those that are refused or normalised on the way are the gateway's tests."""


class Traffic:
    """Writes into one site database and remembers what must be there."""

    def __init__(self, site: str, base_url: str, headers: Mapping[str, str], seed: int) -> None:
        self.leaves: dict[str, dict[str, bool]] = {}
        """Document id → leaf revision → whether it is a deletion."""
        self.deletions = self.conflicts = self.poisoned = 0
        self._random = Random(seed)
        self._url = f"{base_url}/db/site-{site}/_bulk_docs"
        self._headers = dict(headers)
        self._names = (f"{site}-{number}" for number in itertools.count())
        self._examples = list(generate_sessions(12, site=site, seed=seed, trials_per_task=4))
        self._content: dict[str, Document] = {}
        self._paths: dict[str, list[str]] = {}

    def renew(self, headers: Mapping[str, str]) -> None:
        """Credentials run out."""
        self._headers = dict(headers)

    def sessions(self, count: int) -> list[Document]:
        """Good sessions to make something of."""
        return self._examples[:count]

    async def write_all(self, *documents: Document) -> None:
        """New documents, one request after the other."""
        async with aiohttp.ClientSession() as http:
            for document in documents:
                await self._write(http, document, [])

    async def step(self, http: aiohttp.ClientSession) -> None:
        """One write of a random kind, acknowledged when this returns."""
        kind = self._random.choices(("new", "save", "conflict", "delete", "poison"), weights=(6, 5, 3, 1, 2))[
            0
        ]
        if kind in ("new", "poison") or not self._paths:
            await self._new(http, poisoned=kind == "poison")
        else:
            await self._edit(http, self._random.choice(sorted(self._paths)), kind)

    async def _new(self, http: aiohttp.ClientSession, *, poisoned: bool) -> None:
        document = {**self._random.choice(self._examples), "_id": f"session:{next(self._names)}"}
        if poisoned:
            document = self._random.choice(sorted(POISON.items()))[1].spoil(document)
            self.poisoned += 1
        await self._write(http, document, [])

    async def _edit(self, http: aiohttp.ClientSession, doc_id: str, kind: str) -> None:
        path = self._paths[doc_id]
        content = self._content[doc_id]
        document = {**content, "tasks": copy.deepcopy(content["tasks"])}
        if kind == "delete":
            self.deletions += 1
            await self._write(http, {"_id": doc_id, "_deleted": True}, path)
            return
        for task_run in document["tasks"]:
            for trial in task_run["trials"][:1]:
                trial["rt"] = self._random.randrange(200, 900)
        if kind == "conflict" and len(path) > 1:
            self.conflicts += 1
            path = path[1:]
        await self._write(http, document, path)

    async def _write(self, http: aiohttp.ClientSession, document: Document, ancestors: list[str]) -> None:
        """Push `document` as the child of `ancestors` (newest first) until it is acknowledged."""
        doc_id = document["_id"]
        digest = hashlib.md5(msgspec.json.encode([document, ancestors]), usedforsecurity=False).hexdigest()
        path = [digest, *ancestors]
        text = {**document, "_rev": f"{len(path)}-{digest}", "_revisions": {"start": len(path), "ids": path}}
        await self._push(http, msgspec.json.encode(text))
        leaves = self.leaves.setdefault(doc_id, {})
        if ancestors:
            leaves.pop(f"{len(ancestors)}-{ancestors[0]}", None)
        leaves[f"{len(path)}-{digest}"] = bool(document.get("_deleted"))
        self._paths[doc_id] = path
        if not document.get("_deleted"):
            self._content[doc_id] = document

    async def _push(self, http: aiohttp.ClientSession, text: bytes) -> None:
        body = b'{"new_edits":false,"docs":[' + text + b"]}"
        headers = {**self._headers, "Content-Type": "application/json"}
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with http.post(self._url, data=io.BytesIO(body), headers=headers) as answer:
                        if answer.status == 201:
                            assert await answer.json() == []
                            return
                        assert answer.status == 503, await answer.text()
                except (aiohttp.ClientError, OSError):
                    pass
                await asyncio.sleep(0.2)
