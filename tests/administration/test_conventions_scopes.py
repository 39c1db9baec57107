"""What people with roles in a study, or at one of its sites, find in the lists of results; and bodies."""

from typing import Any

from sync_server.settings import Settings
from tests.administration.office import Office

A_DAY = "2026-01-01T00:00:00Z"


def results(office: Office) -> None:
    """A session with a conflict and a quarantined document at each of three sites of two studies."""
    office.study("SRO", "lima", "quito")
    office.study("ABC", "cusco")
    for study, site in (("SRO", "lima"), ("SRO", "quito"), ("ABC", "cusco")):
        office.rows(
            "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
            " VALUES (%s, %s, %s, 'p1', 'completed', %s, '1-a')",
            site,
            f"s-{site}",
            study,
            A_DAY,
        )
        office.rows(
            "INSERT INTO conflicts (site, session_id, path, winner_rev, winner_value, other_rev, other_value)"
            " VALUES (%s, %s, '$.visit', '1-b', '1', '1-a', '2')",
            site,
            f"s-{site}",
        )
        office.rows(
            "INSERT INTO quarantine (site, doc_id, rev, type, code, path, message)"
            " VALUES (%s, 'session:q', '1-a', 'session', 'missing', '$.study', 'study is required')",
            site,
        )
        office.rows(
            "INSERT INTO checkpoints (site, database, epoch, batch, since, rereading, complete_through)"
            " VALUES (%s, %s, 'e', 1, '1', false, %s)",
            site,
            f"site-{site}",
            A_DAY,
        )
    about: list[tuple[str | None, str | None]] = [
        ("SRO", "lima"),
        ("SRO", None),
        (None, "lima"),
        ("ABC", "cusco"),
        (None, None),
    ]
    for entry_study, entry_site in about:
        office.rows(
            "INSERT INTO audit_log (actor, actor_kind, action, entity, entity_id, study, site)"
            " VALUES ('a@b.example', 'person', 'x.y', 'x', 'x', %s, %s)",
            entry_study,
            entry_site,
        )


async def test_lists_and_single_things_keep_within_the_scope(office: Office) -> None:
    results(office)
    people = {
        "everywhere": (office.as_("coordinator"), {"lima", "quito", "cusco"}, 5),
        "study": (office.as_("coordinator", study="SRO"), {"lima", "quito"}, 3),
        "site": (office.as_("coordinator", study="SRO", site="lima"), {"lima"}, 2),
        "other": (office.as_("coordinator", study="ABC"), {"cusco"}, 1),
    }
    for name, (member, sites, entries) in people.items():
        for path in ("sessions", "sites", "conflicts", "quarantine", "quarantine/groups"):
            answer = await member.get(f"/api/{path}")
            found = {row["site"] for row in answer.body["data"]}
            assert (found, answer.body["pagination"]["total"]) == (sites, len(sites)), (name, path)
        listed = (await member.get("/api/sessions")).body
        assert set(listed["complete_through"]) == sites
        assert (await member.get("/api/audit", entity="x")).body["pagination"]["total"] == entries, name
        for site in ("lima", "quito", "cusco"):
            expected = 200 if site in sites else 404
            for path in (
                f"sessions/s-{site}",
                f"sessions/s-{site}/trials",
                f"sites/{site}",
                f"conflicts/s-{site}",
            ):
                assert (await member.get(f"/api/{path}")).status == expected, (name, path)
            # Refused before anything is looked for: 409 is said by who got to the decision.
            decision = {"reason": "why", "rev": "9-z", "accept": "union"}
            answer = await member.post(f"/api/conflicts/s-{site}/resolve", decision)
            assert (answer.status == 404) is (site not in sites), (name, site, answer.body)
            retried = await member.post("/api/quarantine/retry", {"site": site, "code": "missing"})
            assert retried.status == (202 if site in sites else 404), (name, site)


async def test_who_may_read_and_not_decide_there_is_told_so(office: Office) -> None:
    results(office)
    reader = office.as_("researcher", study="SRO")
    both = office.as_("coordinator", study="ABC")
    office.rows(
        "INSERT INTO memberships (person, study, role)"
        " SELECT id, 'SRO', 'researcher' FROM users WHERE email = %s",
        both.email,
    )
    decision = {"reason": "why", "rev": "9-z", "accept": "union"}
    waived = {"reason": "why", "site": "lima", "doc_id": "session:q", "code": "missing", "path": "$.study"}
    assert (await reader.post("/api/quarantine/waive", waived)).status == 403
    for path, body in (("conflicts/s-lima/resolve", decision), ("quarantine/waive", waived)):
        assert (await both.get("/api/conflicts/s-lima")).status == 200
        assert (await both.post(f"/api/{path}", body)).error == (403, "not_allowed")
    assert office.rows("SELECT count(*) FROM waivers") == [(0,)]
    mine = await office.as_("coordinator", study="SRO", site="lima").post("/api/quarantine/waive", waived)
    assert mine.body == {"waived": 1, "already_waived": 0, "not_found": 0}
    # The role is the one in which it was done, not one that the account has everywhere.
    assert office.rows("SELECT role, site FROM audit_log WHERE action = 'quarantine.waive'") == [
        ("coordinator", "lima")
    ]


async def test_lists_are_sorted_and_cut_to_fields_as_asked(office: Office) -> None:
    results(office)
    reader = office.as_("read-only")
    answer = await reader.get("/api/sessions", sort="site", order="desc", fields="id,site", per_page="2")
    assert answer.body["data"] == [{"id": f"s-{site}", "site": site} for site in ("quito", "lima")]
    assert set(answer.body) == {"data", "pagination", "complete_through"}
    refused = await reader.get("/api/sessions", sort="rev")
    assert refused.body["error"]["details"] == {"parameter": "sort"}
    refused = await reader.get("/api/audit", fields="id")
    assert refused.status == 403
    refused = await reader.get("/api/sites", fields="nothing")
    assert refused.body["error"]["details"] == {"unknown": ["nothing"]}


async def test_bad_bodies_say_where(office: Office, office_settings: Settings) -> None:
    coordinator = office.as_("coordinator")
    bodies: list[tuple[str, int, Any]] = [
        ('{"site": "lima", "code": 7}', 422, "$.code"),
        ('{"site": "lima", "cod": "x"}', 422, "$"),
        ('{"site": "lima", "doc_ids": ["a", 1]}', 422, "$.doc_ids[1]"),
        ('{"site": "\\ud800"}', 400, None),
        ('{"site": "lima"', 400, None),
    ]
    for text, status, path in bodies:
        answer = await coordinator.api.call("POST", "/api/quarantine/retry", data=text)
        assert answer.status == status, answer.body
        details = answer.body["error"]["details"]
        assert (details and details["path"]) == path
    unknown = await coordinator.api.call("POST", "/api/quarantine/retry", data=bodies[1][0])
    assert "`cod`" in unknown.body["error"]["message"]


async def test_answers_are_for_nobody_else_to_frame_keep_or_run(office: Office) -> None:
    answer = await office.as_("read-only").get("/api/sessions")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in answer.headers
