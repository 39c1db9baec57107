"""How studies and sites are doing, within what somebody may see."""

from datetime import UTC, datetime, timedelta

from tests.administration.office import Office

TODAY = datetime.now(UTC).date()


async def busy(office: Office) -> None:
    """SRO at lima and quito, ABC at lima; a participant, a session and visits at each."""
    office.study("SRO", "lima", "quito")
    office.study("ABC", "lima")
    office.study("OLD")
    office.rows("UPDATE studies SET status = 'completed' WHERE code = 'OLD'")
    office.rows(
        "INSERT INTO participants (study, code, site, status, enrolled_on)"
        " SELECT study, 'p-' || site, site, 'enrolled', %s FROM study_sites",
        TODAY - timedelta(weeks=2),
    )
    office.rows(
        "INSERT INTO sessions (site, id, study, participant, status, started_at, received_at, rev)"
        " SELECT site, study, study, 'p-' || site, 'completed', now(), now(), '1-a' FROM study_sites"
    )
    for code, state, due_in, completed_on in (
        ("done", "completed", -14, TODAY - timedelta(weeks=1)),
        ("late", "due", -1, None),
        ("soon", "planned", 6, None),
        ("later", "planned", 7, None),
        ("missed", "missed", -9, None),
    ):
        office.rows(
            "INSERT INTO visits (study, participant, code, site, state, due_on, completed_on, anchor,"
            " offset_days, window_before_days, window_after_days)"
            " SELECT study, 'p-' || site, %s, site, %s, %s, %s, 'enrolment', 0, 0, 0 FROM study_sites",
            code,
            state,
            TODAY + timedelta(days=due_in),
            completed_on,
        )
    office.rows("INSERT INTO device_status (site, device, rev, outstanding) VALUES ('lima', 't1', '1-a', 4)")
    office.rows(
        "INSERT INTO device_activity (site, device, last_seen_at, last_push_at)"
        " VALUES ('lima', 't1', now(), now())"
    )
    office.rows(
        "INSERT INTO checkpoints (site, database, epoch, batch, since, rereading, complete_through)"
        " VALUES ('lima', 'site-lima', 'e', 1, '1', false, now() - interval '1 minute')"
    )


async def test_the_dashboard_counts_what_its_reader_may_see(office: Office) -> None:
    await busy(office)
    for member, path, studies, places in (
        (office.as_("admin"), "", ["ABC", "SRO"], 3),
        (office.as_("researcher", study="SRO"), "", ["SRO"], 2),
        (office.as_("read-only", study="SRO", site="quito"), "", ["SRO"], 1),
        (office.as_("admin"), "/SRO", ["SRO"], 2),
        (office.as_("coordinator", study="SRO", site="lima"), "/SRO", ["SRO"], 1),
    ):
        answer = await member.get(f"/api/dashboard{path}")
        assert answer.status == 200, answer.body
        told = answer.body
        assert [each["study"] for each in told["studies"]] == studies
        for name in ("enrolled", "visits_due", "visits_overdue", "visits_missed", "visits_completed"):
            assert sum(each[name] for each in told["studies"]) == places, name
        assert len(told["activity"]) == 30
        assert told["activity"][-1] == {"day": told["at"][:10], "sessions": places}
        assert told["coming"]["total"] == told["overdue"]["total"] == places
        assert {each["code"] for each in told["coming"]["visits"]} == {"soon"}
        assert {each["code"] for each in told["overdue"]["visits"]} == {"late"}
        curve = told["curves"]
        assert [point["enrolled_in_all"] for point in curve] == [places] * 3
        assert [point["completed"] for point in curve] == [0, places, 0]
        assert curve[-1]["completed_in_all"] == places


async def test_sites_tell_how_they_sync_to_those_who_reach_them(office: Office) -> None:
    await busy(office)
    told = (await office.as_("admin").get("/api/dashboard")).body["sites"]
    assert [each["site"] for each in told] == ["lima", "quito"]
    lima = told[0]
    assert (lima["documents_outstanding"], lima["devices_outstanding"], lima["quarantined"]) == (4, 1, 0)
    assert lima["last_push_at"] is not None
    assert 60 <= lima["complete_age_seconds"] < 600
    assert (told[1]["complete_through"], told[1]["last_push_at"]) == (None, None)
    at_quito = office.as_("researcher", study="SRO", site="quito")
    assert [each["site"] for each in (await at_quito.get("/api/dashboard")).body["sites"]] == ["quito"]
    worst = (await office.as_("admin").get("/api/dashboard?sites=1")).body
    assert ([each["site"] for each in worst["sites"]], worst["synced_today"]) == (["lima"], 1)
    assert (await at_quito.get("/api/dashboard?sites=1")).body["synced_today"] == 0
    assert (await at_quito.get("/api/dashboard?sites=0")).status == 422
    of_abc = (await office.as_("admin").get("/api/dashboard/ABC")).body["sites"]
    assert [each["site"] for each in of_abc] == ["lima"]


async def test_a_study_that_is_not_seen_has_no_dashboard(office: Office) -> None:
    await busy(office)
    member = office.as_("researcher", study="SRO")
    assert (await member.get("/api/dashboard/ABC")).status == 404
    assert (await member.get("/api/dashboard/%00")).status == 404
    assert (await office.as_("admin").get("/api/dashboard/NONE")).status == 404
    ended = (await office.as_("admin").get("/api/dashboard/OLD")).body
    assert ([each["study"] for each in ended["studies"]], ended["sites"]) == (["OLD"], [])
