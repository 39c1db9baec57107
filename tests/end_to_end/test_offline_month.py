"""A month without a network: everything that a study team does meanwhile, and then the tablet comes back.

It ends with exactly what is published now, hands in what it collected, and has been given nothing that
another tablet handed in, whatever it asks.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from reporting.erasure.execution import run_erasure
from reporting.erasure.names import REASON
from reporting.publication.consents import consent_states
from reporting.publication.deliver import Publisher
from reporting.publication.desired import type_of
from sync_server.demo.generate import generate_sessions
from sync_server.jobs.site_documents import CouchSiteDocuments
from sync_server.keys import ENGINE, SEALER, SITE_DATABASES
from sync_server.site_erasing import CouchSiteStore
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Member, Office
from tests.documents.examples import a_consent
from tests.end_to_end.system import with_login
from tests.interop.pouchdb import run_tablet

ROSTER = [f"p{number:02}" for number in range(1, 31)]
ERASED = ROSTER[0]
SESSIONS = 20
SIGNATURE = base64.b64encode(b"\x89PNG\r\n\x1a\nink").decode()
PARTICIPANT = "/api/participants/SRO"
ANY = {"If_Match": "*"}


class Study:
    """SRO at lima and quito, set up and run over the API."""

    def __init__(self, office: Office, desk: Desk) -> None:
        self.office = office
        self.desk = desk
        self.admin = office.as_("admin")

    async def done(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The body of an answer that is not an error."""
        answer = await self.office.api.sending(**{**self.admin.api.headers, **headers}).call(
            method, path, **({} if body is None else {"json": body})
        )
        assert answer.status < 300, (method, path, answer.body)
        return answer.body

    async def set_up(self) -> None:
        await self.done("POST", "/api/studies", {"code": "SRO", "title": "Self-regulation"})
        for site in ("lima", "quito"):
            await self.done("POST", "/api/sites", {"code": site})
            await self.done("PUT", f"/api/studies/SRO/sites/{site}")
        await self.battery("stroop")
        await self.done("PUT", "/api/consent/forms/SRO/main", {"title": "Main", "texts": {"en": "# Yes"}})
        await self.done("POST", "/api/consent/forms/SRO/main/publish", {"supersedes": False})
        await self.done("PATCH", "/api/studies/SRO", {"status": "active"}, **ANY)
        for code in ROSTER:
            await self.add(code)
        await self.desk.drain()

    async def battery(self, *tasks: str) -> None:
        """Publish the battery with these tasks, and give it to the study."""
        definition = {"tasks": [{"task": task} for task in tasks]}
        await self.done("PUT", "/api/batteries/short/draft", {"definition": definition}, **ANY)
        published = await self.done("POST", "/api/batteries/short/publish", **ANY)
        await self.done("PUT", f"/api/studies/SRO/batteries/short/{published['version']}")

    async def add(self, code: str, site: str = "lima") -> None:
        new = {"study": "SRO", "code": code, "site": site, "status": "enrolled", "language": "es"}
        await self.done("POST", "/api/participants", new)

    async def change(self, code: str, **members: Any) -> None:
        await self.done("PATCH", f"{PARTICIPANT}/{code}", members, **ANY)

    async def enrol(self, device: str) -> dict[str, str]:
        """A tablet's enrolment, by a one-time code."""
        invited = await self.done("POST", "/api/sync/enrolments", {"site": "lima", "device": device})
        redeemed = {"code": invited["code"], "installation": f"installation-of-{device}"}
        answer = await Member(self.office.api.sending(), "").post("/api/sync/enrol", redeemed)
        assert answer.status == 201, answer.body
        enrolled: dict[str, str] = answer.body
        return enrolled

    async def erase(self, code: str) -> None:
        asked = await self.done("POST", f"{PARTICIPANT}/{code}/erasure", {"reason": "By letter."})
        path = f"{PARTICIPANT}/{code}/erasure/{asked['id']}/confirm"
        assert (await self.office.as_("admin", study="SRO").post(path)).status == 200
        app = self.office.gateway.app
        store = CouchSiteStore(app[SITE_DATABASES])
        await run_erasure(app[ENGINE], store, app[SEALER].fingerprints, asked["id"], settle=0.0)

    async def project(self) -> None:
        """Project, and publish what follows from it."""
        await self.office.project()
        await self.desk.drain()

    async def published(self, site: str) -> dict[str, Any]:
        """The published documents of a site; they are what has to be there."""
        documents = CouchSiteDocuments(self.desk.resources.client)
        look = Publisher(self.desk.resources.engine, documents, consent_states, writes=False)
        drift = await look.publish_site(site)
        assert (drift.found, drift.problems) == (0, {})
        found = await self.desk.documents(site)
        published = {doc_id: found[doc_id] for doc_id in found if type_of(doc_id)}
        assert drift.compared == len(published)
        return published


def sessions(name: str, count: int, participants: list[str]) -> list[dict[str, Any]]:
    """Sessions of these participants in turn, as one tablet saves them."""
    made = list(generate_sessions(count, site="lima", seed=len(name), study="SRO", trials_per_task=4))
    return [
        {**each, "_id": f"session:{name}-{number}", "participant": participants[number % len(participants)]}
        for number, each in enumerate(made)
    ]


async def sibling_hands_in(study: Study, node_executable: str) -> list[str]:
    """Another tablet pushes sessions, consents and its state, a session is corrected, and it is revoked; the
    ids of all these.
    """
    enrolled = await study.enrol("tab-2")
    signed = {"signature.png": {"content_type": "image/png", "data": SIGNATURE}}
    form = {"id": "main", "version": 1}
    docs = [
        *sessions("tab-2", 6, ROSTER[:6]),
        *(
            a_consent(f"c-{code}", study="SRO", participant=code, form=form, _attachments=signed)
            for code in (ERASED, *ROSTER[10:13])
        ),
        {"_id": "device:tab-2", "type": "device", "schema": 1, "site": "lima", "device": "tab-2"},
    ]
    pushed = await run_tablet(node_executable, {"url": with_login(enrolled), "docs": docs})
    assert pushed["denied"] == []
    correction = {"type": "correction", "schema": 1, "session": "tab-2-1"}
    answer = await study.office.gateway.call(
        "PUT", "/site-lima/correction:tab-2-1", token=study.office.gateway.service, body=correction
    )
    assert answer.status == 201
    await study.project()
    assert {row[0] for row in study.office.rows("SELECT id FROM sessions")} == {
        each["_id"].removeprefix("session:") for each in docs[:6]
    }
    await study.done("POST", "/api/sync/devices/lima/tab-2/revoke", {"reason": "stolen"})
    return [*(each["_id"] for each in docs), "correction:tab-2-1"]


async def a_month_passes(study: Study) -> None:
    await study.battery("stroop", "simon")
    await study.done("DELETE", "/api/studies/SRO/batteries/short/1")
    await study.done("POST", "/api/consent/forms/SRO/main/publish", {"supersedes": True})
    for number in range(5):
        await study.add(f"new{number}", "lima" if number else "quito")
    for code in ROSTER[20:23]:
        await study.change(code, language="en")
    for code in ROSTER[23:26]:
        await study.change(code, status="withdrawn", reason="asked")
    await study.change(ROSTER[26], status="completed", reason="done")
    for code in ROSTER[27:29]:
        await study.change(code, site="quito", reason="moved house")
    # There and back: to the tablet nothing happened.
    for site in ("quito", "lima"):
        await study.change(ROSTER[29], site=site, reason="moved house")
        await study.desk.drain()
    await study.change(ERASED, status="withdrawn", reason="asked")
    await study.desk.drain()
    await study.erase(ERASED)
    await study.desk.drain()
    assert set(study.desk.states()["publication"]) == {"done"}


async def is_told_of(study: Study, token: str, document: Mapping[str, Any]) -> Any:
    """The receipt of a document that the tablet holds."""
    asking = study.office.api.sending(Authorization=f"Bearer {token}")
    asked = {"docs": [{"id": document["_id"], "rev": document["_rev"]}]}
    return (await asking.call("POST", "/api/sync/receipts", json=asked)).body["data"]


async def is_refused_what_others_handed_in(office: Office, token: str, others: Mapping[str, str]) -> None:
    """Whatever the tablet asks: `others` are documents of other devices, with their revisions."""

    async def ask(method: str, path: str, body: Any = None, **query: str) -> Any:
        return await office.gateway.call(method, f"/site-lima{path}", token=token, body=body, query=query)

    whole: dict[str, str] = {"style": "all_docs", "include_docs": "true", "conflicts": "true"}
    feed = (await ask("GET", "/_changes", **whole)).json["results"]
    assert {row["id"].partition(":")[0] for row in feed} <= {
        "study", "battery", "consent_form", "participant"
    }  # fmt: skip
    named = await ask("POST", "/_changes", {"doc_ids": list(others)}, filter="_doc_ids", **whole)
    assert named.status != 200 or named.json["results"] == []
    selected = await ask("POST", "/_changes", {"selector": {"type": "session"}}, filter="_selector", **whole)
    assert selected.status != 200 or selected.json["results"] == []
    wanted = [{"id": doc_id, "rev": rev} for doc_id, rev in others.items()]
    wanted += [{"id": doc_id} for doc_id in others]
    bulk = await ask("POST", "/_bulk_get", {"docs": wanted}, revs="true", attachments="true")
    assert bulk.status == 200
    given = [part for row in bulk.json["results"] for part in row["docs"]]
    assert len(given) == len(wanted)
    assert [part for part in given if "ok" in part] == []
    for path in ("/_all_docs", "/_local_docs", "/_design_docs"):
        assert (await ask("GET", path, include_docs="true")).status == 403
    assert (await ask("POST", "/_all_docs", {"keys": list(others)}, include_docs="true")).status == 403
    assert (await ask("POST", "/_find", {"selector": {}})).status == 403
    for doc_id, rev in others.items():
        for query in ({}, {"rev": rev}, {"open_revs": "all"}, {"open_revs": f'["{rev}"]'}, {"revs": "true"}):
            answer = await ask("GET", f"/{doc_id}", **query)
            assert answer.status in (403, 404), (doc_id, query, answer.body)
        assert (await ask("GET", f"/{doc_id}/signature.png")).status in (403, 404)


@pytest.mark.timeout(120)
async def test_a_tablet_that_was_away_ends_with_what_is_published_and_nothing_of_others(
    office: Office, node_executable: str, tmp_path: Path
) -> None:
    async with at_desk(office) as desk:
        study = Study(office, desk)
        await study.set_up()
        enrolled = await study.enrol("tab-1")
        tablet = {"url": with_login(enrolled), "store": str(tmp_path / "tablet")}
        first = await run_tablet(node_executable, {**tablet, "steps": ["pull", "push", "leaves"]})
        assert live(first["leaves"]) == await study.published("lima")
        assert len(first["leaves"]) == 3 + len(ROSTER)

        others = await sibling_hands_in(study, node_executable)
        await a_month_passes(study)

        own = sessions("tab-1", SESSIONS, [ERASED, *ROSTER[18:]])
        again = {**tablet, "docs": own, "steps": ["push", "pull", "leaves"]}
        second = await run_tablet(node_executable, again)
        await study.project()
        third = await run_tablet(node_executable, {**tablet, "steps": ["sync", "leaves"]})

        kept = {each["_id"] for each in own}
        erased = {each["_id"] for each in own if each["participant"] == ERASED}
        assert {each["id"] for each in second["denied"]} == erased
        held = live(third["leaves"])
        assert {doc_id for doc_id in held if not type_of(doc_id)} == kept
        published = await study.published("lima")
        # An erasure leaves no deletion to replicate: nothing names who was erased. The receipt tells it.
        name = f"participant:SRO/{ERASED}"
        answer = await is_told_of(study, enrolled["token"], held.pop(name))
        assert answer == [{"id": name, "rev": first["revs"][name], "state": "refused", "reason": REASON}]
        assert {doc_id: document for doc_id, document in held.items() if type_of(doc_id)} == published
        assert {f"participant:SRO/{code}" for code in ROSTER[27:29]} < (await study.published("quito")).keys()
        assert {each for each in third["leaves"] if not type_of(each)} == kept
        rows = office.rows("SELECT 'session:' || id FROM sessions WHERE id LIKE 'tab-1-%%'")
        assert {row[0] for row in rows} == kept - erased
        there = await desk.documents("lima")
        hidden = {doc_id: there[doc_id]["_rev"] for doc_id in others if doc_id in there}
        assert len(hidden) == len(others) - 2
        await is_refused_what_others_handed_in(office, enrolled["token"], hidden)


def live(leaves: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Its documents, each with the one leaf that is not deleted."""
    found: dict[str, dict[str, Any]] = {}
    for doc_id, all_of_it in leaves.items():
        present = [each for each in all_of_it if not each.get("_deleted")]
        assert len(present) <= 1, all_of_it
        for each in present:
            found[doc_id] = {name: value for name, value in each.items() if name != "_revisions"}
    return found
