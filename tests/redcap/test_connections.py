"""Connections and mappings, as people make and change them; a token that is told to nobody."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
import redis
from structlog.testing import capture_logs

from reporting.redcap.dictionary import Dictionary
from reporting.redcap.projects import store_dictionary
from sync_server.redcap.client import host_of
from sync_server.redcap.pulling import pull
from sync_server.redcap.site_configs import SiteConfig
from sync_server.redcap.study_connections import Redcaps, connections_of
from sync_server.settings import Settings
from tests.administration.office import Office
from tests.redcap.redcap_office import CONNECTIONS, GIVEN, MAPPING, Connected, connected, roster_project
from tests.redcap_double.double import Double
from tests.redcap_double.project import User

OTHER_TOKEN = "0123456789ABCDEF0123456789ABCDEF"


@pytest.fixture
async def team(office: Office) -> AsyncIterator[Connected]:
    async with connected(office, Double([roster_project()], requests_per_minute=None)) as made:
        yield made


def texts(office: Office) -> Iterator[str]:
    """Everything that Postgres has, table by table."""
    tables = office.rows(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    for (table,) in tables:
        for (row,) in office.rows(f'SELECT t::text FROM "{table}" t'):  # noqa: S608 (names of tables)
            yield f"{table}: {row}"


async def test_token_is_sealed_and_in_no_answer_log_audit_entry_job_row_or_redis(
    team: Connected, office_settings: Settings
) -> None:
    told: list[Any] = []
    token = team.double.token
    with capture_logs() as logs:
        made = await team.connect()
        told.append(made)
        number = made["id"]
        told += [
            (await team.admin.get(CONNECTIONS)).body,
            (await team.admin.get(f"{CONNECTIONS}/{number}")).body,
            (await team.admin.post(f"{CONNECTIONS}/{number}/test")).body,
            await team.map(),
            (await team.admin.get("/api/redcap/projects")).body,
            (await team.admin.post(CONNECTIONS, {"study": "SRO", "url": team.url, "token": token})).body,
            (await team.admin.patch(f"{CONNECTIONS}/{number}", {"token": token}, If_Match="*")).body,
        ]
        # Refused: the double says what a REDCap says of a token that it does not know.
        team.double.project.users = [User("other", OTHER_TOKEN)]
        refused = await team.admin.post(f"{CONNECTIONS}/{number}/test")
        assert (refused.status, refused.body["works"]) == (200, False)
        told.append(refused.body)
        team.person("1", ppt_code="s1")
        await team.admin.post("/api/redcap/projects/sro/pull", {})
        await team.desk.drain()
        told += [(await team.admin.get(path)).body for path in ("/api/jobs", "/api/audit")]
    assert team.office.rows("SELECT paused_cause FROM redcap_projects") == [("rights",)]
    client = redis.Redis.from_url(office_settings.redis_url)
    try:
        kept = [repr(client.dump(key)) for key in client.keys("*")]
    finally:
        client.close()
    for text in (json.dumps(told, default=str), repr(logs), *texts(team.office), *kept):
        assert token.lower() not in text.lower()
    sealed = team.office.rows("SELECT token FROM redcap_connections")[0][0]
    assert team.desk.resources.sealer.open(sealed) == token


async def test_connection_is_one_a_study_and_site_and_its_token_is_for_its_url(team: Connected) -> None:
    made = await team.connect()
    assert (made["study"], made["site"], made["url"], made["row_version"]) == ("SRO", None, team.url, 1)
    second = await team.admin.post(CONNECTIONS, {"study": "SRO", "url": team.url, "token": OTHER_TOKEN})
    assert second.error == (409, "taken")
    assert (await team.connect(site="lima"))["site"] == "lima"
    elsewhere = {"study": "SRO", "site": "cusco", "url": team.url, "token": OTHER_TOKEN}
    assert (await team.admin.post(CONNECTIONS, elsewhere)).error == (422, "invalid_request")
    path = f"{CONNECTIONS}/{made['id']}"
    assert (await team.admin.patch(path, {})).error == (428, "precondition_required")
    moved = await team.admin.patch(path, {"url": "https://other.example/api"}, If_Match='"1"')
    assert (moved.error, moved.details) == ((422, "invalid_request"), {"path": "$.token"})
    both = {"url": "https://Other.example/api", "token": OTHER_TOKEN}
    changed = await team.admin.patch(path, both, If_Match='"1"')
    assert (changed.body["url"], changed.headers["ETag"]) == ("https://other.example/api/", '"2"')
    acts = team.office.rows(
        "SELECT action, before->>'url', after->>'token_changed' FROM audit_log ORDER BY id"
    )
    assert acts[-1] == ("redcap_connection.update", team.url, "true")
    assert (await team.admin.delete(path, If_Match='"2"')).status == 204
    assert (await team.admin.get(path)).error == (404, "not_found")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host.example/api/", "https://"),
        ("https://host.example/", "REDCap's API"),
        ("https://host.example/%2e/api/", "REDCap's API"),
        ("https://user:x@host.example/api/", "user"),
        ("https://host.example/api/?x=1", "query"),
        ("http://169.254.169.254/api/", "no address"),
        ("https://0xa9.254.1/api/", "no address"),
        ("https://host.example:x/api/", "no URL"),
    ],
)
async def test_url_that_is_no_redcap_is_refused_with_why(office: Office, url: str, why: str) -> None:
    office.study("SRO", "lima")
    body = {"study": "SRO", "url": url, "token": OTHER_TOKEN}
    answer = await office.as_("admin").post(CONNECTIONS, body)
    assert answer.error == (422, "invalid_request")
    assert why in answer.body["error"]["message"]


async def test_connection_is_tried_and_says_what_the_project_is_or_what_is_wrong(team: Connected) -> None:
    number = (await team.connect())["id"]
    path = f"{CONNECTIONS}/{number}/test"
    works = (await team.admin.post(path)).body
    assert (works["works"], works["title"], works["record_id"]) == (True, "Planted study", "record_id")
    assert (works["forms"], works["fields"]) == (["person", "cog"], 7)
    assert (works["events"], works["repeats"]) == (["base_arm_1", "later_arm_1"], ["cog"])
    team.double.project.users[0].api_export = False
    refused = (await team.admin.post(path)).body
    assert (refused["works"], refused["title"]) == (False, None)
    assert refused["problem"].startswith("REDCap refuses the token, or its user may not do this: ")


async def test_mapping_is_saved_only_where_it_fits_every_project_and_enters_sessions_again(
    team: Connected,
) -> None:
    nowhere = await team.admin.put(MAPPING, {"mapping": dict(GIVEN)})
    assert nowhere.error == (409, "not_possible")
    await team.connect()
    text = "project: {key: sro}\ninstruments:\n  - form: cog\n    fields: {cog_srt: {form: status}}\n"
    unread = await team.admin.put(MAPPING, {"mapping": text})
    assert unread.error == (422, "invalid_request")
    assert unread.details["path"].startswith("$.instruments[0].fields.cog_srt")
    instrument = {**GIVEN["instruments"][0], "form": "cogg"}
    roster = {**GIVEN["participants"], "code": {"from": "ppt_cod"}, "event": None}
    wrong = {**GIVEN, "instruments": [instrument], "participants": roster}
    misfit = await team.admin.put(MAPPING, {"mapping": wrong})
    assert misfit.error == (422, "invalid_request")
    (project,) = misfit.details["projects"]
    found = {each["path"]: each["hint"] for each in project["problems"]}
    assert found["$.instruments[0].form"] == "Did you mean cog?"
    assert found["$.participants.code.from"] == "Did you mean ppt_code?"
    assert found["$.participants.event"] == "event: base_arm_1"
    report = (await team.admin.post(f"{MAPPING}/check", {"mapping": wrong})).body
    assert (report["fits"], report["projects"]) == (False, misfit.details["projects"])
    assert team.office.rows("SELECT * FROM redcap_mappings") == []
    team.office.rows(
        "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
        " VALUES ('lima', 'x', 'SRO', 's1', 'completed', now(), '1-a')"
    )
    saved = await team.admin.put(MAPPING, {"mapping": dict(GIVEN)})
    assert (saved.status, saved.headers["ETag"]) == (200, '"1"')
    assert team.office.rows("SELECT key, ticket FROM outbox WHERE kind = 'redcap'") == [("SRO/lima/x", 1)]
    assert (await team.admin.put(MAPPING, {"mapping": dict(GIVEN)})).error == (428, "precondition_required")
    again = await team.admin.put(MAPPING, {"mapping": saved.body["text"]}, If_Match='"1"')
    assert (again.status, again.body["definition"]) == (200, saved.body["definition"])
    assert (await team.admin.put(MAPPING, {"mapping": dict(GIVEN)}, If_Match='"1"')).status == 412
    assert team.office.rows("SELECT ticket FROM outbox WHERE kind = 'redcap'") == [(2,)]
    (told,) = (await team.admin.get("/api/redcap/projects")).body["data"]
    assert (told["project"], told["title"], told["paused_at"]) == ("sro", "Planted study", None)
    # Paused for the mapping's sake, it goes on once that is checked again; for another's it does not.
    for cause, is_paused, ticket in (("dictionary", False, 3), ("person", True, 3)):
        team.office.rows("UPDATE redcap_projects SET paused_at = now(), paused_cause = %s", cause)
        assert (await team.admin.post(f"{MAPPING}/check", {})).body["fits"] is True
        assert team.office.rows("SELECT paused_at IS NOT NULL FROM redcap_projects") == [(is_paused,)]
        assert team.office.rows("SELECT ticket FROM outbox WHERE kind = 'redcap'") == [(ticket,)]
    acts = team.office.rows("SELECT action FROM audit_log WHERE entity = 'redcap_mapping' ORDER BY id")
    assert acts == [(f"redcap_mapping.{act}",) for act in ("create", "update", "check")]


async def test_sites_have_projects_of_their_own_from_the_api_or_else_from_the_settings(
    team: Connected,
) -> None:
    resources = team.desk.resources
    configs = {
        site: SiteConfig(redcap_url=team.url, token=team.double.token) for site in ("lima", "quito", "cusco")
    }
    settings = msgspec.structs.replace(resources.settings, site_configs=configs)

    async def chosen() -> list[tuple[str | None, str]]:
        async with resources.engine.connect() as connection:
            found = await connections_of(connection, "SRO", configs)
        assert team.double.token not in repr(found)
        return [(each.site, each.open(resources.sealer)) for each in found]

    token = team.double.token
    assert await chosen() == [("lima", token), ("quito", token)]
    await team.connect(site="quito")
    assert await chosen() == [("quito", token), ("lima", token)]
    await team.map()
    listed = (await team.admin.get("/api/redcap/projects")).body["data"]
    assert [(each["project"], each["site"]) for each in listed] == [("sro@quito", "quito")]
    team.person("1", "quito_clinic", ppt_code="s1")
    report = await pull("sro@quito", Redcaps(settings, resources.engine, resources.sealer))
    assert report.counts == {"created": 1}
    # A site's coordinator sees its project, not another's.
    for site, count in (("quito", 1), ("lima", 0)):
        member = team.office.as_("coordinator", study="SRO", site=site)
        assert len((await member.get("/api/redcap/projects")).body["data"]) == count
        assert len((await member.get("/api/redcap/records")).body["data"]) == count
    await team.connect()
    assert [site for site, _ in await chosen()] == [None, "quito"]


async def test_mapping_cannot_be_saved_while_a_project_does_not_answer(team: Connected) -> None:
    await team.connect()
    await team.connect(site="quito", url=team.url.replace("/api/", "/nothing/api/"))
    away = await team.admin.put(MAPPING, {"mapping": dict(GIVEN)})
    assert away.error == (503, "unavailable")
    assert "sro@quito cannot be asked" in away.body["error"]["message"]
    assert team.office.rows("SELECT * FROM redcap_mappings") == []


async def test_key_stays_while_sessions_are_there_and_is_one_study_s(team: Connected) -> None:
    await team.connect()
    await team.map()
    other = {**GIVEN, "project": {"key": "other"}}
    assert (await team.admin.put(MAPPING, {"mapping": other}, If_Match="*")).status == 200
    assert team.office.rows("SELECT project FROM redcap_projects") == [("other",)]
    team.office.rows(
        "INSERT INTO redcap_ledger (project, study, site, session_id, form, record)"
        " VALUES ('other', 'SRO', 'lima', 'x', 'cog', '1')"
    )
    stays = await team.admin.put(MAPPING, {"mapping": dict(GIVEN)}, If_Match="*")
    assert (stays.error, stays.details) == ((409, "not_possible"), {"path": "$.project.key"})
    team.office.study("ABC", "lima")
    body = {"study": "ABC", "url": team.url, "token": team.double.token}
    assert (await team.admin.post(CONNECTIONS, body)).status == 201
    taken = await team.admin.put("/api/redcap/mappings/ABC", {"mapping": other})
    assert taken.error == (409, "taken")


async def test_project_is_paused_resumed_and_a_ban_lifted_by_people(team: Connected) -> None:
    await team.connect()
    await team.map()
    path = "/api/redcap/projects/sro"
    paused = await team.admin.post(f"{path}/pause", {"reason": "moving servers"})
    assert (paused.status, paused.body["paused_cause"]) == (200, "person")
    assert paused.body["paused_reason"].endswith(": moving servers")
    assert (await team.admin.post(f"{path}/pause", {"reason": "x"})).error == (409, "already_done")
    assert (await team.admin.post(f"{path}/pull", {})).error == (409, "not_possible")
    assert (await team.admin.post(f"{path}/resume")).body["paused_at"] is None
    assert (await team.admin.post(f"{path}/resume")).error == (409, "already_done")
    host = (await team.admin.get("/api/redcap/hosts")).body["data"][0]["host"]
    lift = f"/api/redcap/hosts/{host}/lift-ban"
    assert (await team.admin.post(lift, {"reason": "x"})).error == (409, "already_done")
    team.office.rows("UPDATE redcap_hosts SET banned_at = now(), ban = 'has been banned'")
    assert (await team.admin.post(lift, {"reason": "asked"})).body["banned_at"] is None
    acts = team.office.rows("SELECT action, reason FROM audit_log WHERE entity LIKE 'redcap_%%' ORDER BY id")
    assert acts[-3:] == [
        ("redcap_project.pause", "moving servers"),
        ("redcap_project.resume", None),
        ("redcap_host.lift_ban", "asked"),
    ]


async def test_session_on_its_way_is_listed_with_what_was_tried_and_tried_again(team: Connected) -> None:
    team.office.rows(
        "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, state, reason)"
        " VALUES ('sro', 'SRO', 'lima', 'x', 'cog', '15', 'parked', 'cog_srt: out of range'),"
        " ('sro', 'SRO', 'lima', 'y', 'cog', '15', 'retired', 'gone')"
    )
    team.office.rows(
        "INSERT INTO redcap_attempts (ledger, action, outcome, after, error)"
        """ SELECT id, 'import', 'bad_rows', '{"cog_srt": "9"}', 'out of range' FROM redcap_ledger"""
    )
    path = "/api/redcap/sessions"
    (parked,) = (await team.admin.get(path, state="parked", record="15")).body["data"]
    assert (parked["session"], parked["reason"]) == ("x", "cog_srt: out of range")
    assert (await team.admin.get(path, participant="nobody")).body["data"] == []
    (tried,) = (await team.admin.get(f"{path}/{parked['id']}/attempts")).body["data"]
    assert (tried["outcome"], tried["after"], tried["error"]) == (
        "bad_rows",
        {"cog_srt": "9"},
        "out of range",
    )
    again = await team.admin.post(f"{path}/{parked['id']}/retry")
    assert (again.status, again.body["job_state"]) == (200, "pending")
    (gone,) = (await team.admin.get(path, session="y")).body["data"]
    assert (await team.admin.post(f"{path}/{gone['id']}/retry")).error == (409, "not_possible")
    (project,) = team.office.rows("SELECT key FROM outbox WHERE kind = 'redcap'")
    assert project == ("SRO/lima/x",)


async def test_connection_that_would_put_sessions_into_a_second_project_is_refused(team: Connected) -> None:
    await team.connect()
    await team.map()
    team.office.rows(
        "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, state)"
        " VALUES ('sro', 'SRO', 'lima', 'x', 'cog', '1', 'done'),"
        " ('sro', 'SRO', 'quito', 'y', 'cog', '2', 'retired')"
    )
    own = {"study": "SRO", "site": "lima", "url": team.url, "token": OTHER_TOKEN}
    twice = await team.admin.post(CONNECTIONS, own)
    assert (twice.error, twice.details) == ((409, "not_possible"), {"path": "$.site"})
    assert (await team.admin.post(CONNECTIONS, {**own, "site": "quito"})).status == 201


async def test_another_token_may_be_of_another_project_and_has_all_looked_at_again(team: Connected) -> None:
    number = (await team.connect())["id"]
    await team.map()
    await pull("sro", Redcaps(*_asking(team)), full=True)
    team.office.rows(
        "INSERT INTO sessions (site, id, study, participant, status, started_at, rev)"
        " VALUES ('lima', 'x', 'SRO', 's1', 'completed', now(), '1-a')"
    )
    assert team.office.rows("SELECT reconciled_at IS NULL FROM redcap_projects") == [(False,)]
    path = f"{CONNECTIONS}/{number}"
    assert (await team.admin.patch(path, {"token": OTHER_TOKEN}, If_Match="*")).status == 200
    assert team.office.rows("SELECT reconciled_at IS NULL FROM redcap_projects") == [(True,)]
    assert team.office.rows("SELECT key FROM outbox WHERE kind = 'redcap'") == [("SRO/lima/x",)]


def _asking(team: Connected) -> tuple[Any, Any, Any]:
    resources = team.desk.resources
    return resources.settings, resources.engine, resources.sealer


async def test_two_studies_that_save_one_key_at_once_do_not_both_have_it(team: Connected) -> None:
    await team.connect()
    await team.map()
    # The other one has looked for the key before it was saved.
    dictionary = Dictionary(record_id="record_id", fields=[], forms=[])
    async with team.desk.resources.engine.begin() as connection:
        stored = await connection.execute(store_dictionary("sro", "ABC", dictionary))
        assert stored.first() is None
    assert team.office.rows("SELECT study FROM redcap_projects") == [("SRO",)]


def test_a_host_has_one_throttle_however_its_name_ends() -> None:
    assert host_of("https://Redcap.example.org./api/") == host_of("https://redcap.example.org:443/api/")
