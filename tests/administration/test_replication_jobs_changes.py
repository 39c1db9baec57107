"""Replication jobs as people ask for them, by the API and the command: names, credentials, refusals."""

import json
from pathlib import Path
from typing import Any

from sync_server.keys import SEALER, SETTINGS
from sync_server.replication_jobs.credentials import Credential, open_sealed
from tests.administration.office import Office
from tests.administration.replication_desk import JOBS
from tests.gateway.processes import invoke

URL = "https://centre.example/db/site-lima"
JOB: dict[str, Any] = {
    "site": "lima",
    "name": "up",
    "kind": "collected",
    "url": URL,
    "credential": {"user": "hub", "password": "s3cret"},
}


def credentials(office: Office, url: str = URL) -> list[Credential]:
    sealer = office.gateway.app[SEALER]
    rows = office.rows("SELECT credential FROM replication_jobs WHERE credential IS NOT NULL ORDER BY id")
    return [open_sealed(sealer, url, bytes(sealed)) for (sealed,) in rows]


async def test_a_job_is_made_once_and_its_name_is_the_sites(office: Office) -> None:
    office.study("SRO", "lima", "quito")
    admin = office.as_("admin", study="SRO")
    first = await admin.post(JOBS, JOB, Idempotency_Key="k")
    again = await admin.post(JOBS, JOB, Idempotency_Key="k")
    assert (first.status, again.body) == (201, first.body)
    assert "s3cret" not in json.dumps(first.body)
    assert (await admin.post(JOBS, JOB)).error == (409, "taken")
    assert (await admin.post(JOBS, {**JOB, "site": "quito"})).status == 201
    assert (await admin.post(JOBS, {**JOB, "site": "cusco"})).error == (404, "not_found")
    office.rows("UPDATE sites SET status = 'archived' WHERE code = 'quito'")
    assert (await admin.post(JOBS, {**JOB, "site": "quito", "name": "b"})).error == (404, "not_found")
    for members, path in (
        ({"url": "https://u:p@centre.example/db/site-lima"}, "$.url"),
        ({"url": f"{office.gateway.app[SETTINGS].base_url}/db/site-lima"}, "$.url"),
        ({"selector": {"a": 1}}, "$.selector"),
        ({"credential": {"user": "hub"}}, "$.credential"),
    ):
        answer = await admin.post(JOBS, {**JOB, "name": "other", **members})
        assert answer.error == (422, "invalid_request")
        assert answer.body["error"]["details"] == {"path": path}
    assert office.rows("SELECT kind, key, state FROM outbox") == [("replication", "all", "pending")]
    [(after,)] = office.rows("SELECT after FROM audit_log WHERE site = 'lima'")
    assert (after["url"], after["has_credential"]) == (URL, True)


async def test_where_documents_go_is_for_admins_of_all_studies_at_the_site(office: Office) -> None:
    office.study("SRO", "lima")
    one = office.as_("admin", study="SRO", site="lima")
    made = (await one.post(JOBS, JOB)).body
    office.study("OTHER", "lima")
    path = f"{JOBS}/{made['id']}"
    assert (await one.post(JOBS, {**JOB, "name": "b"})).error == (403, "not_allowed")
    assert (await one.patch(path, {"name": "c"}, If_Match="*")).error == (403, "not_allowed")
    assert (await one.post(f"{path}/pause")).status == 200
    assert (await office.as_("admin").post(JOBS, {**JOB, "name": "b"})).status == 201
    coordinator = office.as_("coordinator", study="SRO", site="lima")
    assert [row["name"] for row in (await coordinator.get(JOBS)).body["data"]] == ["b", "up"]
    assert (await coordinator.post(f"{path}/resume")).error == (403, "not_allowed")
    for name in ("x", "0", "9" * 30):
        assert (await one.get(f"{JOBS}/{name}")).error == (404, "not_found")


async def test_a_change_names_its_version_and_another_url_takes_the_credential_with_it(
    office: Office,
) -> None:
    office.study("SRO", "lima")
    admin = office.as_("admin")
    made = (await admin.post(JOBS, JOB)).body
    await admin.post(JOBS, {**JOB, "name": "taken"})
    path = f"{JOBS}/{made['id']}"
    assert (await admin.patch(path, {"name": "x"})).error == (428, "precondition_required")
    assert (await admin.patch(path, {"name": "taken"}, If_Match="*")).error == (409, "taken")
    renamed = await admin.patch(path, {"name": "x", "continuous": False}, If_Match='"1"')
    assert (renamed.body["name"], renamed.body["row_version"]) == ("x", 2)
    assert credentials(office)[0] == Credential(user="hub", password="s3cret")
    # Whoever may change a job could read its password at a server of their own.
    other = "https://elsewhere.example/db/site-lima"
    answer = await admin.patch(path, {"url": other}, If_Match="*")
    assert answer.error == (422, "invalid_request")
    assert "for another URL" in answer.body["error"]["message"]
    moved = await admin.patch(path, {"url": other, "credential": {"token": "t0ken"}}, If_Match="*")
    assert (moved.body["url"], moved.body["user"], moved.body["has_credential"]) == (other, None, True)
    office.rows("DELETE FROM replication_jobs WHERE name = 'taken'")
    assert credentials(office, other) == [Credential(token="t0ken")]
    gone = await admin.patch(path, {"credential": None}, If_Match="*")
    assert gone.body["has_credential"] is False
    assert (await admin.patch(path, {"selector": {"a": 1}}, If_Match="*")).error[0] == 422
    unchanged = await admin.patch(path, {"name": "x"}, If_Match="*")
    assert unchanged.body["row_version"] == gone.body["row_version"]
    changes = office.rows("SELECT after FROM audit_log WHERE action = 'replication.change' ORDER BY id")
    assert [after.get("credential") for (after,) in changes] == [None, "changed", "changed"]
    assert "t0ken" not in json.dumps(changes)


async def test_the_command_does_what_the_api_does_and_is_on_record(office: Office, tmp_path: Path) -> None:
    office.study("SRO", "lima")
    settings = office.gateway.app[SETTINGS]
    env = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "DATA_DIR": str(settings.data_dir),
    }

    def run(*arguments: str, stdin: str = "") -> Any:
        return invoke("replication", *arguments, env=env, stdin=stdin)

    given = ("create", "--site", "lima", "--url", URL)
    made = run(*given, "--name", "up", "--kind", "collected", "--user", "hub", "--json", stdin="s3cret\n")
    assert made.code == 0, made.err
    job = json.loads(made.out.splitlines()[-1])
    assert credentials(office) == [Credential(user="hub", password="s3cret")]
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    custom = ("--kind", "custom", "--selector", '{"type": "visit"}', "--once", "--token-file", str(token))
    assert run(*given, "--name", "visits", *custom).code == 0
    run(*given, "--name", "up", "--kind", "collected").failed_with("has a replication job 'up' already")
    run(*given, "--name", "a b", "--kind", "collected").failed_with("cannot be asked for")
    run(*given, "--name", "c", "--kind", "custom", "--selector", "{").failed_with("cannot be asked for")
    both = run(*given, "--name", "c", "--kind", "custom", "--user", "u", "--token-file", str(token))
    both.failed_with("not both")
    number = str(job["id"])
    assert json.loads(run("pause", number, "--json").out)["state"] == "paused"
    run("pause", number).failed_with("paused already")
    run("retry", "999").failed_with("There is no replication job 999.")
    assert run("resume", number).code == 0
    assert run("retry", number).code == 0
    run("restart", number, "--reason", "why", stdin="n\n").failed_with("Nothing was done")
    assert run("restart", number, "--reason", "why", stdin="y\n").code == 0
    assert run("cancel", number, "--yes").code == 0
    listed = json.loads(run("list", "--json").out)
    assert [(each["name"], each["state"]) for each in listed] == [
        ("up", "cancelled"),
        ("visits", "initializing"),
    ]
    assert "visits  push custom  initializing" in run("list", "--site", "lima").out
    shown = run("show", number)
    assert "cancelled" in shown.out
    assert json.loads(run("show", number, "--json").out)["history"] == []
    acts = office.rows("SELECT actor, actor_kind, action, reason FROM audit_log ORDER BY id")
    assert {(actor, kind) for actor, kind, _, _ in acts} == {("sync-server replication", "process")}
    assert [(action, reason) for _, _, action, reason in acts] == [
        ("replication.create", None),
        ("replication.create", None),
        ("replication.pause", None),
        ("replication.resume", None),
        ("replication.retry", None),
        ("replication.restart", "why"),
        ("replication.cancel", None),
    ]
    everything = made.out + made.err + shown.out + json.dumps(office.rows("SELECT after FROM audit_log"))
    assert "s3cret" not in everything
