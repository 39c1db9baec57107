"""The layout shows the architecture: who may import whom, what is pure, how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("replication", "reporting", "sync_server", "migrations")
LONGEST_FILE = 400

MAY_IMPORT = {
    "replication": set(),
    "reporting": {"replication"},
    "sync_server": {"replication", "reporting", "migrations"},
    "migrations": {"reporting"},
}
"""Which packages of ours a package may import; `reporting` takes value types only (below)."""

REPORTING_TAKES = {"replication.values"}

PURE = (
    "replication/values.py",
    "replication/revtree.py",
    "replication/edits.py",
    "replication/wire",
    "replication/mango",
    "replication/replicator/definition.py",
    "replication/replicator/history.py",
    "replication/replicator/backoff.py",
    "reporting/sites.py",
    "reporting/documents",
    "reporting/scoring",
    "reporting/quality",
    "reporting/projection/batch.py",
    "reporting/projection/copy_text.py",
    "reporting/projection/device_rows.py",
    "reporting/projection/correction_rows.py",
    "reporting/projection/judge.py",
    "reporting/projection/kinds.py",
    "reporting/projection/consent_rows.py",
    "reporting/projection/proof.py",
    "reporting/projection/proving.py",
    "reporting/projection/row_proof.py",
    "reporting/projection/rows.py",
    "reporting/projection/rewind.py",
    "reporting/projection/sharing.py",
    "reporting/projection/site_states.py",
    "reporting/scope.py",
    "reporting/collecting",
    "reporting/consent/state.py",
    "reporting/erasure/audit_details.py",
    "reporting/erasure/names.py",
    "reporting/erasure/subject.py",
    "reporting/instruments/battery_definitions.py",
    "reporting/instruments/built_in_modules.py",
    "reporting/instruments/item_bank_definitions.py",
    "reporting/instruments/json_values.py",
    "reporting/instruments/parameter_schemas.py",
    "reporting/outbox/policy.py",
    "reporting/participants/contact.py",
    "reporting/participants/fates.py",
    "reporting/participants/rules.py",
    "reporting/participants/table_file.py",
    "reporting/publication/desired.py",
    "reporting/publication/requests.py",
    "reporting/redcap/allocation.py",
    "reporting/redcap/batching.py",
    "reporting/redcap/checking.py",
    "reporting/redcap/checking_fields.py",
    "reporting/redcap/checking_sources.py",
    "reporting/redcap/comparison.py",
    "reporting/redcap/dictionary.py",
    "reporting/redcap/dictionary_file.py",
    "reporting/redcap/faults.py",
    "reporting/redcap/field_rules.py",
    "reporting/redcap/filling.py",
    "reporting/redcap/known.py",
    "reporting/redcap/mapping.py",
    "reporting/redcap/mapping_text.py",
    "reporting/redcap/problem.py",
    "reporting/redcap/roster_checking.py",
    "reporting/redcap/roster_decision.py",
    "reporting/redcap/roster_mapping.py",
    "reporting/redcap/roster_plan.py",
    "reporting/redcap/sources.py",
    "reporting/redcap/target.py",
    "reporting/redcap/transforms.py",
    "reporting/reports/contents.py",
    "reporting/reports/measuring.py",
    "reporting/research/audience.py",
    "reporting/research/correlations.py",
    "reporting/research/datasets.py",
    "reporting/research/f_distribution.py",
    "reporting/research/filters.py",
    "reporting/research/retest.py",
    "reporting/research/roster_datasets.py",
    "reporting/research/samples.py",
    "reporting/research/score_variables.py",
    "reporting/research/shared_variables.py",
    "reporting/research/statistics.py",
    "reporting/research/variables.py",
    "reporting/reminders/local_time.py",
    "reporting/reminders/reconcile.py",
    "reporting/reminders/schedule.py",
    "reporting/reminders/texts.py",
    "reporting/replication_jobs/alerts.py",
    "reporting/replication_jobs/health.py",
    "reporting/studies/status.py",
    "reporting/webhooks/addresses.py",
    "reporting/webhooks/events.py",
    "reporting/webhooks/fan_out.py",
    "reporting/webhooks/signature.py",
    "sync_server/exports/cells.py",
    "sync_server/exports/codebook.py",
    "sync_server/exports/dataset_tables.py",
    "sync_server/exports/described.py",
    "sync_server/exports/manifest.py",
    "sync_server/exports/request.py",
    "sync_server/mail/message.py",
    "sync_server/mail/texts.py",
    "sync_server/jobs/registry.py",
    "sync_server/redcap/given_connection.py",
    "sync_server/reports/bars.py",
    "sync_server/reports/blocks.py",
    "sync_server/reports/characters.py",
    "sync_server/reports/common.py",
    "sync_server/reports/curves.py",
    "sync_server/reports/diagram.py",
    "sync_server/reports/embedding.py",
    "sync_server/reports/faces.py",
    "sync_server/reports/flow.py",
    "sync_server/reports/grid.py",
    "sync_server/reports/histograms.py",
    "sync_server/reports/lines.py",
    "sync_server/reports/participant.py",
    "sync_server/reports/request.py",
    "sync_server/reports/scales.py",
    "sync_server/reports/sheets.py",
    "sync_server/reports/site.py",
    "sync_server/reports/structure.py",
    "sync_server/reports/study.py",
    "sync_server/reports/texts.py",
    "sync_server/reports/wording.py",
    "sync_server/replication_jobs/documents.py",
    "sync_server/replication_jobs/looks.py",
    "sync_server/replication_jobs/remote.py",
    "sync_server/hub/contact.py",
    "sync_server/hub/settings.py",
    "sync_server/policy.py",
    "sync_server/portal/excerpts.py",
    "sync_server/portal/mending.py",
    "sync_server/portal/plots.py",
    "sync_server/portal/readable.py",
    "sync_server/portal/signs.py",
    "sync_server/provisioning/actual.py",
    "sync_server/provisioning/design.py",
    "sync_server/provisioning/desired.py",
    "sync_server/provisioning/plan.py",
    "sync_server/provisioning/requests.py",
    "sync_server/provisioning/validation.py",
    "sync_server/identity/access_tokens.py",
    "sync_server/embedded/backoff.py",
)
IMPURE_MODULES = {
    "aiohttp",
    "asyncio",
    "sqlite3",
    "psycopg",
    "redis",
    "rq",
    "logging",
    "structlog",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
}
CLOCK_CALLS = {"now", "utcnow", "today", "uuid4", "uuid1", "time", "monotonic"}


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def _pure_files() -> list[Path]:
    found = [path for name in PURE for path in ([ROOT / name] if name.endswith(".py") else _files(name))]
    assert all(path.exists() for path in found)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    for path in _files(package):
        if package == "migrations" and path.parent.name == "versions":
            allowed = set()
        ours = {name for name in _imports(path) if name.split(".")[0] in (*PACKAGES, "tests", "benchmarks")}
        assert {name for name in ours if name.split(".")[0] not in allowed} == set(), path


def test_reporting_takes_value_types_only_from_replication() -> None:
    taken = {
        name for path in _files("reporting") for name in _imports(path) if name.startswith("replication")
    }
    assert taken <= REPORTING_TAKES


@pytest.mark.parametrize("path", _pure_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_module_does_no_io_and_reads_no_clock_or_chance(path: Path) -> None:
    assert {name for name in _imports(path) if name.split(".")[0] in IMPURE_MODULES} == set()
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert calls & CLOCK_CALLS == set()


def test_pages_of_the_portal_ask_the_api_and_no_database() -> None:
    own = ROOT / "sync_server" / "portal"
    hold_connections = {"asking.py", "downloads.py", "serving.py", "signing_in.py"}
    asking = {
        path.name
        for path in own.glob("*.py")
        if any(name.split(".")[0] in ("sqlalchemy", "psycopg") for name in _imports(path))
    }
    assert asking <= hold_connections


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path for package in PACKAGES for path in _files(package) if not ast.get_docstring(_parsed(path))
    ]
    assert silent == []


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_no_file_is_longer_than_one_wants_to_read() -> None:
    files = [path for package in (*PACKAGES, "tests", "benchmarks") for path in _files(package)]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE and "node_modules" not in path.parts
    }
    assert long == {}
