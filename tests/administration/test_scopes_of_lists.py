"""What is told of a study to whoever has a role at one of its sites only."""

from tests.administration.office import Office


async def test_open_erasures_of_other_sites_are_not_shown_at_one_site(office: Office) -> None:
    office.study("SRO", "lima", "quito")
    office.rows(
        "INSERT INTO participants (study, code, site) VALUES ('SRO', 'a', 'lima'), ('SRO', 'b', 'quito')"
    )
    office.rows(
        "INSERT INTO erasures (study, participant, subject, reason, requested_by, preview, state) VALUES"
        " ('SRO', 'a', '1', 'why', 'x', '{}', 'requested'), ('SRO', 'b', '2', 'why', 'x', '{}', 'requested'),"
        " ('SRO', NULL, '3', 'why', 'x', '{}', 'done')"
    )
    at_lima, in_study = office.as_("admin", study="SRO", site="lima"), office.as_("admin", study="SRO")
    for member, expected in (
        (at_lima, ["a"]),
        (in_study, ["a", "b", None]),
        (office.as_("admin"), ["a", "b", None]),
    ):
        told = await member.get("/api/erasures")
        assert [row["participant"] for row in told.body["data"]] == expected


async def test_members_of_a_study_are_listed_as_far_as_the_site_reaches(office: Office) -> None:
    office.study("SRO", "lima", "quito")
    office.study("ABC")
    for site in ("lima", "quito"):
        # Made by being asked for.
        assert (await office.as_("read-only", study="SRO", site=site).get("/api/studies")).status == 200
    coordinator = office.as_("coordinator", study="SRO", site="lima")
    told = await coordinator.get("/api/users", study="SRO")
    sites = [each["site"] for row in told.body["data"] for each in row["memberships"]]
    assert sites == ["lima", "lima"]
    assert (await coordinator.get("/api/users", study="ABC")).error == (404, "not_found")


async def test_webhook_of_a_study_is_not_for_who_manages_one_site(office: Office) -> None:
    office.study("SRO", "lima")
    office.rows(
        "INSERT INTO webhooks (url, events, study, secret, created_by)"
        " VALUES ('https://host.example', '{}', 'SRO', '', 'somebody')"
    )
    at_site, in_study = office.as_("admin", study="SRO", site="lima"), office.as_("admin", study="SRO")
    assert (await at_site.get("/api/webhooks")).body["data"] == []
    (webhook,) = (await in_study.get("/api/webhooks")).body["data"]
    rotate = f"/api/webhooks/{webhook['id']}/rotate-secret"
    assert (await at_site.post(rotate, If_Match="*")).error == (404, "not_found")
    assert (await in_study.post(rotate, If_Match="*")).status == 200
