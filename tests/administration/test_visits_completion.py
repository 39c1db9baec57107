"""Sessions complete visits: late, twice, out of order, from two sites, and taken back."""

from typing import Any

import pytest

from reporting.projection.feed import SiteDatabase
from reporting.projection.rebuild import rebuild_site
from sync_server.keys import SETTINGS
from tests.administration.office import Office
from tests.documents.examples import a_session

SITES = ("lima", "quito")


def sitting(name: str, *, device: str = "tab-1", rev: str = "1-aa", **members: Any) -> dict[str, Any]:
    about = {"id": device, "app": "1.0.0", "os": "Android 14", "model": "SM-T510"}
    return a_session(
        name,
        **{
            "_rev": rev,
            "device": about,
            "battery": None,
            "ended_at": None,
            "started_at": "2026-03-04T15:00:00Z",
        }
        | members,
    )


async def planned(office: Office) -> dict[str, str]:
    """A participant at lima, enrolled in March 2026, with a baseline and a follow-up; two tablets' tokens."""
    office.study("SRO", *SITES)
    office.rows("UPDATE sites SET timezone = 'America/Lima'")
    team = office.as_("coordinator", study="SRO")
    for code, anchor, offset in (("baseline", "enrolment", 0), ("week-4", "baseline", 28)):
        body = {"anchor": anchor, "offset_days": offset, "window_before_days": 3, "window_after_days": 3}
        assert (await team.put(f"/api/schedules/SRO/{code}", body)).status == 200
    person = {
        "study": "SRO",
        "code": "s012",
        "site": "lima",
        "status": "enrolled",
        "enrolled_on": "2026-03-01",
    }
    assert (await team.post("/api/participants", person)).status == 201
    return {site: await _tablet(office, site) for site in SITES}


async def _tablet(office: Office, site: str) -> str:
    await office.gateway.open_site(site)
    return await office.gateway.enrol(site, "tab-1")


async def push(office: Office, token: str, *documents: dict[str, Any]) -> None:
    for document in documents:
        database = f"site-{document['site']}"
        assert await office.gateway.push(database, document, token=token) == []
    await office.project()


def visits(office: Office) -> list[tuple[Any, ...]]:
    return office.rows(
        "SELECT code, state, due_on::text, session_site, session_id, in_window FROM visits ORDER BY code"
    )


def flags(office: Office) -> list[tuple[Any, ...]]:
    return office.rows(
        "SELECT site, session_id, detail ->> 'first_site', detail ->> 'first_session'"
        " FROM quality_flags WHERE code = 'visit_completed_twice' ORDER BY 1, 2"
    )


async def test_a_session_from_the_field_completes_its_missed_visit_retroactively(office: Office) -> None:
    token = (await planned(office))["lima"]
    assert visits(office) == [
        ("baseline", "missed", "2026-03-01", None, None, None),
        ("week-4", "planned", None, None, None, None),
    ]
    office.rows("DELETE FROM outbox")
    # 03:00 UTC is still the day before in Lima; three days after enrolment, in the window.
    await push(office, token, sitting("s1", started_at="2026-03-05T03:00:00Z"))
    assert visits(office)[0] == ("baseline", "completed", "2026-03-01", "lima", "s1", True)
    assert visits(office)[1][:3] == ("week-4", "missed", "2026-04-01")
    events = office.rows("SELECT key FROM outbox WHERE kind = 'event' AND key LIKE 'visit.%%' ORDER BY key")
    assert events == [
        ("visit.completed:SRO/s012/baseline/lima/s1",),
        ("visit.missed:SRO/s012/week-4/2026-04-04",),
    ]
    published = office.rows("SELECT key FROM outbox WHERE kind = 'publication' AND key LIKE '%%visit:%%'")
    assert sorted(published) == [("lima/visit:SRO/s012/baseline",), ("lima/visit:SRO/s012/week-4",)]
    # Outside the window it counts as well, and says so; a session without visit belongs to none.
    await push(office, token, sitting("s2", visit="week-4", started_at="2026-06-01T10:00:00Z"))
    await push(office, token, sitting("s3", visit=None, started_at="2026-03-01T10:00:00Z"))
    assert visits(office)[1] == ("week-4", "completed", "2026-04-01", "lima", "s2", False)
    assert office.rows("SELECT session_count FROM visits ORDER BY code") == [(1,), (1,)]


async def test_a_session_that_changes_or_goes_opens_its_visit_again(office: Office) -> None:
    token = (await planned(office))["lima"]
    await push(office, token, sitting("s1"))
    moved: dict[str, Any] = {
        "visit": "week-4",
        "started_at": "2026-04-01T10:00:00Z",
        "_revisions": {"start": 2, "ids": ["bb", "aa"]},
    }
    await push(office, token, sitting("s1", rev="2-bb", **moved))
    assert [row[:2] for row in visits(office)] == [("baseline", "missed"), ("week-4", "completed")]
    abandoned = {**moved, "status": "abandoned", "_revisions": {"start": 3, "ids": ["cc", "bb", "aa"]}}
    await push(office, token, sitting("s1", rev="3-cc", **abandoned))
    assert [row[:2] for row in visits(office)] == [("baseline", "missed"), ("week-4", "planned")]
    await push(office, token, sitting("s2"))
    assert visits(office)[0][1] == "completed"
    stub = {
        "_id": "session:s2",
        "_rev": "2-dd",
        "_deleted": True,
        "_revisions": {"start": 2, "ids": ["dd", "aa"]},
    }
    assert await office.gateway.push("site-lima", stub, token=office.gateway.service) == []
    await office.project()
    assert visits(office)[0][:2] == ("baseline", "missed")


async def test_sessions_from_before_their_participant_or_definition_are_found(office: Office) -> None:
    office.study("SRO", "lima")
    token = await _tablet(office, "lima")
    await push(office, token, sitting("s1"), sitting("s2", visit="week-4", started_at="2026-04-02T09:00:00Z"))
    assert visits(office) == []
    team = office.as_("coordinator", study="SRO")
    await team.put("/api/schedules/SRO/baseline", {})
    person = {
        "study": "SRO",
        "code": "s012",
        "site": "lima",
        "status": "enrolled",
        "enrolled_on": "2026-03-04",
    }
    assert (await team.post("/api/participants", person)).status == 201
    assert visits(office) == [("baseline", "completed", "2026-03-04", "lima", "s1", True)]
    await team.put("/api/schedules/SRO/week-4", {"anchor": "baseline", "offset_days": 28})
    assert visits(office)[1] == ("week-4", "completed", "2026-04-01", "lima", "s2", False)


FIRST = sitting("early", device="tab-1", started_at="2026-03-02T10:00:00Z")
SECOND = sitting("late", device="tab-2", started_at="2026-03-03T10:00:00Z")
ABROAD = sitting("abroad", device="tab-1", site="quito", started_at="2026-03-04T10:00:00Z")
SAME_TABLET = sitting("again", device="tab-1", started_at="2026-03-05T10:00:00Z")


@pytest.mark.parametrize(
    ("order", "at_once"),
    [((0, 1, 2, 3), False), ((3, 2, 1, 0), False), ((2, 0, 3, 1), False), ((3, 2, 1, 0), True)],
)
async def test_tablets_that_complete_one_visit_make_one_completion_and_flags(
    office: Office, order: tuple[int, ...], *, at_once: bool
) -> None:
    tokens = await planned(office)
    pushed = (FIRST, SECOND, ABROAD, SAME_TABLET)
    for number in order:
        site = pushed[number]["site"]
        assert await office.gateway.push(f"site-{site}", pushed[number], token=tokens[site]) == []
        if not at_once:
            await office.project()
    # Both sites in turns side by side, where they come together.
    await office.project()
    assert visits(office)[0][:2] + visits(office)[0][3:5] == ("baseline", "completed", "lima", "early")
    assert office.rows("SELECT session_count FROM visits WHERE code = 'baseline'") == [(4,)]
    assert flags(office) == [("lima", "late", "lima", "early"), ("quito", "abroad", "lima", "early")]
    told = office.rows(
        "SELECT count(*) FROM outbox WHERE key LIKE 'visit.completed:SRO/s012/baseline/lima/early'"
    )
    assert told == [(1,)]
    # What was first is withdrawn: the next one counts, and is no second one any more.
    gone = {
        "_id": "session:early",
        "_rev": "2-dd",
        "_deleted": True,
        "_revisions": {"start": 2, "ids": ["dd", "aa"]},
    }
    assert await office.gateway.push("site-lima", gone, token=office.gateway.service) == []
    await office.project()
    assert visits(office)[0][3:5] == ("lima", "late")
    assert flags(office) == [("lima", "again", "lima", "late"), ("quito", "abroad", "lima", "late")]


async def test_a_rebuild_finds_visits_and_flags_as_they_are_and_mends_what_was_changed(
    office: Office,
) -> None:
    tokens = await planned(office)
    for document in (FIRST, SECOND, ABROAD):
        await push(office, tokens[document["site"]], document)
    query = "SELECT v::text FROM visits v UNION ALL SELECT f::text FROM quality_flags f ORDER BY 1"
    everything, events = office.rows(query), office.rows("SELECT count(*) FROM outbox")

    async def rebuild(site: str) -> int:
        rebuilt = await rebuild_site(
            office.feed,
            office.gateway.app[SETTINGS].database_url,
            SiteDatabase(site, f"site-{site}"),
            new_epoch=lambda: "e",
            tell=lambda *_: None,
        )
        return rebuilt.replaced

    assert [await rebuild(site) for site in SITES] == [0, 0]
    assert office.rows(query) == everything
    assert office.rows("SELECT count(*) FROM outbox") == events
    office.rows("DELETE FROM quality_flags WHERE code = 'visit_completed_twice' AND site = 'quito'")
    office.rows(
        "UPDATE visits SET state = 'missed', session_id = NULL, session_site = NULL WHERE code = 'baseline'"
    )
    assert await rebuild("quito") == 1
    assert visits(office)[0][1:5] == ("completed", "2026-03-01", "lima", "early")
    assert len(flags(office)) == 2
