"""The docs are part of the change: every setting, route and command is in them, and nothing that isn't
there.
"""

import re
from pathlib import Path

import click
import pytest

from replication.http.server import ROUTES
from reporting.quality import RULES
from sync_server.api.routes import API_ROUTES
from sync_server.cli import main
from sync_server.settings import SETTING_NAMES

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()
PROTOCOL = (ROOT / "docs" / "PROTOCOL.md").read_text()


def _commands(command: click.Command, name: str = "sync-server") -> list[str]:
    if not isinstance(command, click.Group):
        return [name]
    context = click.Context(command)
    children = [(child, command.get_command(context, child)) for child in command.list_commands(context)]
    return [
        found for child, sub in children if sub is not None for found in _commands(sub, f"{name} {child}")
    ]


@pytest.mark.parametrize("setting", SETTING_NAMES)
def test_a_setting_is_documented(setting: str) -> None:
    assert f"`{setting}`" in OPERATIONS


def test_a_documented_setting_exists() -> None:
    table = OPERATIONS.split("## Settings")[1].split("## ")[0]
    documented = {name for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for name in _code(row)}
    assert documented == set(SETTING_NAMES)


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    table = OPERATIONS.split("## Commands")[1].split("## ")[0]
    documented = {name for name in _code(table) if name.startswith("sync-server ")}
    assert documented == set(_commands(main))


def test_every_api_route_is_documented_and_every_documented_route_exists() -> None:
    table = OPERATIONS.split("## The API")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+ /api[^`]*)`", table, re.MULTILINE))
    assert documented == {f"{route.method} {route.path}" for route in API_ROUTES}


def test_every_replication_route_is_documented_and_every_documented_one_exists() -> None:
    table = PROTOCOL.split("## Endpoints")[1].split("## ")[0]
    documented = set()
    for row in re.findall(r"^\| (`[A-Z].*?) \|", table, re.MULTILINE):
        for endpoint in _code(row):
            methods, path = endpoint.rsplit(" ", 1)
            documented |= {f"{method.strip()} {path}" for method in methods.split(",")}
    served = {f"{method} {re.sub(r':[^}]*', '', path)}" for method, path, _, _ in ROUTES}
    assert documented == served


def test_every_quality_rule_is_documented_as_it_is_and_every_documented_one_exists() -> None:
    text = (ROOT / "docs" / "QUALITY.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| (\w+) \| (\d+) \|", text, re.MULTILINE)
    rules = [(code, rule.subject, rule.level, str(rule.version)) for code, rule in RULES.items()]
    assert sorted(documented) == sorted(rules)


@pytest.mark.parametrize("command", _commands(main))
def test_every_option_has_a_help_text(command: str) -> None:
    found: click.Command | None = main
    for name in command.split()[1:]:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name)
    assert found is not None
    assert found.help
    options = [parameter for parameter in found.params if isinstance(parameter, click.Option)]
    silent = [option.name for option in options if not option.help and option.name != "help"]
    assert silent == []
