"""The double in a test's loop, behind its control route, and as a process from the command line."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from click.testing import CliRunner
from redcap.project import Project as Client
from redcap.request import RedcapError

from tests.redcap_double.building import TOKEN, study_project
from tests.redcap_double.cli import main
from tests.redcap_double.double import Double
from tests.redcap_double.running import DoubleProcess, running, running_in_thread, wait_until

EXAMPLES = Path(__file__).parents[1] / "redcap_double" / "examples"


async def test_it_runs_in_the_loop_of_a_test() -> None:
    double = Double([study_project()])
    async with running(double) as address:
        async with aiohttp.ClientSession() as session:
            data = {"token": TOKEN, "content": "project", "format": "json"}
            async with session.post(address.url, data=data) as response:
                assert (await response.json())["project_title"] == "Cognition study"
        rows = [{"record_id": "1", "age": "41"}]
        assert await asyncio.to_thread(Client(address.url, TOKEN).import_records, rows) == {"count": 1}
    assert double.values("1") == {"age": "41"}


def test_it_is_steered_by_this_machine_only_if_it_was_started_so() -> None:
    double = Double([study_project()])
    order = {"do": "requests"}
    with running_in_thread(double) as address:
        url = address.url.replace("/api/", "/control/")
        assert requests.post(url, json=order, timeout=20).status_code == 404
    with running_in_thread(double, control=True) as address:
        url = address.url.replace("/api/", "/control/")
        assert requests.post(url, json=order, timeout=20).json()["by_kind"] == {}
        assert requests.post(url, data=json.dumps(order), timeout=20).status_code == 403
        unknown: list[Any] = [
            [],
            {"do": "explode"},
            {"do": "lock"},
            {"do": "fault", "fault": "flood"},
            {"do": "fired", "number": 7},
        ]
        for wrong in unknown:
            answer = requests.post(url, json=wrong, timeout=20)
            assert answer.status_code == 400
            assert answer.json()["error"]


def test_a_process_tells_what_arrives_obeys_orders_and_starts_again_empty() -> None:
    arguments = ("--dictionary", str(EXAMPLES / "battery.csv"), "--repeat", "battery")
    with DoubleProcess(*arguments, "--fault", "html:record/import") as process:
        client = Client(process.url, process.token, timeout=20)
        row = {"record_id": "1", "redcap_repeat_instrument": "battery", "redcap_repeat_instance": 1}
        with pytest.raises(RedcapError):
            client.import_records([{**row, "reaction_ms": "312.4"}])
        assert client.import_records([{**row, "reaction_ms": "312.4"}]) == {"count": 1}
        written = {"record": "1", "form": "battery", "instance": 1, "values": {"reaction_ms": "312.4"}}
        wait_until(lambda: process.arrived, "the line of the row")
        assert process.arrived == [written]

        assert process.order("rows") == [{**written, "event": "event_1_arm_1"}]
        assert process.order("person", record="1", form="battery", values={"effort": "5"}) == 2
        process.order("lock", record="1", form="battery")
        with pytest.raises(RedcapError, match="is locked"):
            client.import_records([{**row, "effort": "1"}])
        process.order("unlock", record="1")
        process.order("remove-field", field="effort")
        with pytest.raises(RedcapError, match="real data fields: effort"):
            client.import_records([{**row, "effort": "1"}])
        number = process.order("fault", fault="503:version")
        assert (
            requests.post(
                process.url, data={"token": process.token, "content": "version"}, timeout=20
            ).status_code
            == 503
        )
        assert process.order("fired", number=number) == 1
        process.order("rights", username="sync", rights={"api_import": False})
        with pytest.raises(RedcapError, match="API Import/Update"):
            client.import_records([row])
        assert process.order("requests")["by_kind"]["record/import"] == 5
        with pytest.raises(ValueError, match="no user of that name"):
            process.order("rights", username="nobody", rights={})

        port, token = process.port, process.token
        process.kill()
        process.start()
        assert (process.port, process.token) == (port, token)
        assert client.export_records() == []


WORKER = """
import sys
from redcap.project import Project

client = Project(sys.argv[1], sys.argv[2], timeout=20)
row = {"record_id": "1", "redcap_repeat_instrument": "cog_session", "redcap_repeat_instance": "new"}
for number in range(10):
    client.import_records([{**row, "cog_trials": number}])
"""


def test_several_processes_use_the_double_of_a_test_at_once() -> None:
    double = Double([study_project()])
    with running_in_thread(double) as address:
        workers = [subprocess.Popen([sys.executable, "-c", WORKER, address.url, TOKEN]) for _ in range(2)]
        assert [worker.wait(60) for worker in workers] == [0, 0]
    instances = double.project.records.instances("1", "baseline_arm_1", "cog_session")
    assert instances == list(range(1, 21))
    assert double.requests.count("record", "import") == 20


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--token", "short"], "a token has 32 hexadecimal digits"),
        (["--fault", "flood"], "no fault 'flood'"),
        (["--fault", "html@@"], "is not name[@nth]"),
        (["--repeat", "battery"], "--event and --repeat go with --dictionary"),
        (["--dictionary", str(EXAMPLES / "battery.csv"), "--odm", str(EXAMPLES / "visits.xml")], "two ways"),
        (["--dictionary", str(EXAMPLES / "battery.csv"), "--repeat", "blood"], "no such form: blood"),
        (["--dictionary", str(EXAMPLES / "battery.csv"), "--event", "visit"], "no unique event name"),
        (["--dictionary", str(EXAMPLES / "visits.xml")], "not a data dictionary"),
        (["--odm", str(EXAMPLES / "battery.csv")], "not XML"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_wrong(arguments: list[str], text: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code != 0
    assert text in " ".join(result.output.split())


def test_the_help_lists_the_options_and_the_faults() -> None:
    output = CliRunner().invoke(main, ["--help"]).output
    for word in ("--dictionary", "--odm", "--token", "--fault", "--json", "drop-after", "name[@nth]"):
        assert word in output
