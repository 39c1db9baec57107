"""The files for containers and for watching name only what is there: commands, settings, metrics."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from sync_server.api.metrics import GAUGES, OUTBOX_GAUGES, REDCAP_GAUGES, REMINDER_GAUGES, REPLICATION_GAUGES
from sync_server.cli import main
from sync_server.jobs.queue_names import QUEUES, SLOW_QUEUES
from sync_server.settings import SETTING_NAMES, read_settings
from sync_server.traffic import Traffic

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text()
COMPOSE: Mapping[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service.get("image") == "metricis-sync"}
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "metricis-sync.json").read_text())
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()
OF_PROMETHEUS = {"up", "metricis"}


def _expressions() -> Iterator[str]:
    for alert in ALERTS:
        yield alert["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def _metric_names() -> set[str]:
    groups = (GAUGES, OUTBOX_GAUGES, REDCAP_GAUGES, REMINDER_GAUGES, REPLICATION_GAUGES)
    asked = [about for group in groups for about in group.values()]
    names = {name for name, _ in asked} | {"metricis_postgres_up"}
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
    for family in Traffic().registry.collect():
        suffixes = endings.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


def test_there_are_the_processes_that_the_system_consists_of() -> None:
    assert {service["command"].split()[0] for service in OWN.values()} >= {
        "serve",
        "project",
        "relay",
        "work",
        "migrate",
        "provision",
        "backup",
    }
    assert SERVICES["serve"]["deploy"]["replicas"] == SERVICES["project"]["deploy"]["replicas"] == 2
    cluster = [name for name in SERVICES if re.fullmatch(r"couchdb\d", name)]
    assert len(cluster) == 3


@pytest.mark.parametrize("name", OWN)
def test_a_container_of_ours_runs_a_command_on_settings_that_there_are(name: str) -> None:
    wanted = OWN[name]["command"].split()[0]
    command = main.get_command(click.Context(main), wanted)
    assert command is not None
    options = {str(parameter.envvar) for parameter in command.params if parameter.envvar}
    assert set(OWN[name]["environment"]) <= {*SETTING_NAMES, *options}


def test_workers_may_purge_what_is_erased_and_what_is_reached_from_outside_is_no_admin() -> None:
    admins = {name for name, service in OWN.items() if "COUCHDB_ADMIN_URL" in service["environment"]}
    assert admins == {"provision", "work"}
    filled = {
        name: re.sub(r"\$\{\w+(?::-([^}]*))?(?::\?)?\}", lambda given: given[1] or 32 * "x", str(value))
        for name, value in OWN["work"]["environment"].items()
        if value is not None and not str(value).endswith(":-}")
    }
    settings = read_settings({**filled, "DATA_DIR": "/data"})
    admin, service = urlsplit(settings.purging_url), urlsplit(settings.feed_url)
    assert (admin.username, service.username) == ("admin", "metricis")
    assert (admin.hostname, admin.port) == (service.hostname, service.port)


def test_every_queue_is_worked_on_and_what_waits_for_others_has_a_worker_of_its_own() -> None:
    queues = [
        service["command"].split("--queues ")[1].split(",")
        for service in OWN.values()
        if service["command"].startswith("work")
    ]
    assert sorted(name for names in queues for name in names) == sorted(QUEUES)
    assert list(SLOW_QUEUES) in queues


def test_what_others_wait_for_says_when_it_is_well() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], (name, needed)


def test_only_the_proxy_and_what_listens_on_loopback_is_reached_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert all(
        name == "proxy" or all(port.startswith("127.0.0.1:") for port in ports)
        for name, ports in published.items()
    )


def test_postgres_is_published_with_tls_for_researchers_alone() -> None:
    text = (DEPLOY / "postgres" / "researchers.yaml").read_text()
    published = yaml.safe_load(text)
    assert list(published["services"]) == ["postgres"]
    assert "ports" not in SERVICES["postgres"]
    assert {"ssl=on", "hba_file=/etc/postgresql/pg_hba.conf"} <= {
        *published["services"]["postgres"]["command"].split()
    }
    rules = (ROOT / published["configs"]["postgres_hba"]["file"]).read_text().splitlines()
    fields = [rule.split() for rule in rules if not rule.startswith("#")]
    assert all(rule[-1] in ("scram-sha-256", "reject") for rule in fields)
    from_outside = [rule for rule in fields if rule[0] != "local" and rule[3] == "all"]
    assert [(rule[0], rule[2], rule[-1]) for rule in from_outside] == [
        ("hostssl", "/^researcher_", "scram-sha-256"),
        ("host", "/^researcher_", "reject"),
    ]
    documented = OPERATIONS.split("### Containers")[1].split("\n## ")[0]
    assert all(f"`{name}`" in documented for name in re.findall(r"\$\{([A-Z_]+)", text))


def test_every_file_and_volume_that_a_container_mounts_is_there() -> None:
    for config in COMPOSE["configs"].values():
        assert "content" in config or (ROOT / config["file"]).is_file()
    for service in SERVICES.values():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_dir()
        for config in service.get("configs", ()):
            assert config["source"] in COMPOSE["configs"]


def test_what_the_environment_has_to_give_is_documented() -> None:
    documented = OPERATIONS.split("### Containers")[1].split("\n## ")[0]
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE_TEXT))
    assert {name for name in asked if f"`{name}`" not in documented} == set()


def test_no_password_has_a_default() -> None:
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|COOKIE|KEY)\w*)(\S*?)\}", COMPOSE_TEXT)
    assert secrets
    assert {(name, rest) for name, rest in secrets if rest not in (":?", ":-")} == set()


def test_grafana_does_not_start_with_the_password_that_everybody_knows() -> None:
    shell, option, script = SERVICES["grafana"]["entrypoint"]
    stand_in = script.replace("$$", "$").replace("/run.sh", "true")
    for password, code in (("", False), ("x" * 20, True)):
        environment = {"PATH": os.environ["PATH"], "GF_SECURITY_ADMIN_PASSWORD": password}
        ended = subprocess.run([shell, option, stand_in], env=environment, capture_output=True, check=False)
        assert (ended.returncode == 0) is code
    assert script.endswith(" /run.sh")


def test_metrics_are_not_told_to_the_outside() -> None:
    outside = (DEPLOY / "Caddyfile").read_text().split("\n:5984 {")[0]
    assert re.search(r"^\trespond /api/metrics 404$", outside, re.MULTILINE)


def test_what_holds_secrets_is_not_sent_to_the_build() -> None:
    assert ".env*" in (ROOT / ".dockerignore").read_text().splitlines()


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    asked = {name for text in _expressions() for name in re.findall(r"\b(?:metricis\w*|up)\b", text)}
    assert asked - _metric_names() <= OF_PROMETHEUS
    assert len(asked) > 15


def test_every_metric_is_documented_and_shown() -> None:
    shown = " ".join(_expressions())
    for name in _metric_names():
        stem = re.sub(r"_(total|bucket|count|sum)$", "", name)
        assert stem in shown, name
        assert stem in OPERATIONS, name


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_what_it_is_and_where_to_read_on(alert: Mapping[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"].endswith((".", "?"))
    assert re.search(rf"^#+ {re.escape(alert['annotations']['runbook'])}$", OPERATIONS, re.MULTILINE)


def test_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]
    assert max(x for x, _ in taken) < 24
