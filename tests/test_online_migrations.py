"""Migrations stay online: what would hold up a large table for long is not in them, or is here with a reason.

Read from the text of `upgrade()`. A table that the same migration creates is empty and may be locked.

| operation on a table that may be large | why it holds up |
|---|---|
| an index that may not be there already | no writes while it is built; so it is built concurrently before |
| a column's type, or NOT NULL | the table is rewritten, or read whole, under an exclusive lock |
| a new column, NOT NULL without a constant default | refused, or the table is rewritten |
| a constraint | the table is read whole under a lock |
| SQL that locks, alters, or changes rows of it | as long as it has rows |
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"

LARGE = {
    "audit_log",
    "conflicts",
    "documents",
    "ingest_log",
    "losing_revisions",
    "quality_flags",
    "quarantine",
    "score_history",
    "scores",
    "sessions",
    "task_runs",
    "trial_extras",
    "trial_rows",
    "trials",
}

ALLOWED = {
    ("0002_provable_projection", "create_index conflicts"): "no release had version 0001",
    ("0002_provable_projection", "create_index sessions"): "no release had version 0001",
    ("0002_provable_projection", "create_check_constraint conflicts"): "no release had version 0001",
    ("0009_participants", "SQL audit_log"): "its triggers are replaced: no row is read",
    ("0005_trials", "SQL trials"): "no release had the table; a large one would be projected anew",
}

CONSTRAINTS = {
    "create_check_constraint",
    "create_exclude_constraint",
    "create_foreign_key",
    "create_primary_key",
    "create_unique_constraint",
}
HOLDS_UP = re.compile(
    r"\b(LOCK\s+TABLE|ALTER\s+TABLE|UPDATE|DELETE\s+FROM|INSERT\s+INTO.*\bFROM|CREATE\s+(UNIQUE\s+)?INDEX"
    r"(?!\s+IF\s+NOT\s+EXISTS))\b",
    re.IGNORECASE | re.DOTALL,
)


def held_up(source: str) -> set[str]:
    """`operation table` for each operation of the migration that holds up a large table."""
    upgrade = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    calls = [
        node
        for node in ast.walk(upgrade)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "op"
    ]
    created = {_text(call.args[0]) for call in calls if _name(call) == "create_table"}
    return {each for call in calls for each in _held_up(call) if each.split()[1] in LARGE - created}


def _held_up(call: ast.Call) -> Iterator[str]:
    name = _name(call)
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    indexes = name == "create_index" and "if_not_exists" not in arguments
    constrains = name in CONSTRAINTS and "postgresql_not_valid" not in arguments
    alters = name == "alter_column" and bool(arguments.keys() & {"type_", "nullable"})
    adds = name == "add_column" and _is_rewritten(call.args[1])
    if indexes or constrains:
        yield f"{name} {_text(call.args[1])}"
    elif alters or adds:
        yield f"{name} {_text(call.args[0])}"
    elif name == "execute" and HOLDS_UP.search(_text(call.args[0])):
        yield from (f"SQL {table}" for table in re.findall(r"\w+", _text(call.args[0])))


def _is_rewritten(column: ast.expr) -> bool:
    assert isinstance(column, ast.Call)
    arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in column.keywords}
    return arguments.get("nullable") == "False" and "server_default" not in arguments


def _name(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return call.func.attr


def _text(node: ast.expr) -> str:
    """The constant text in an expression; the name where it is a variable."""
    return " ".join(
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    ) or ast.unparse(node)


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("0*.py")), ids=lambda path: path.stem)
def test_a_migration_holds_up_no_large_table(path: Path) -> None:
    found = held_up(path.read_text())
    allowed = {what for migration, what in ALLOWED if migration == path.stem}
    assert found - allowed == set(), "See docs/OPERATIONS.md, Migrations, or say here why not"
    assert allowed - found == set(), "allowed and not there"


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("op.create_index('ix', 'sessions', ['visit'])", "create_index sessions"),
        ("op.alter_column('trial_rows', 'run', type_=sa.BigInteger())", "alter_column trial_rows"),
        ("op.alter_column('sessions', 'visit', nullable=False)", "alter_column sessions"),
        ("op.add_column('scores', sa.Column('n', sa.Integer(), nullable=False))", "add_column scores"),
        ("op.create_check_constraint('ck', 'scores', 'value > 0')", "create_check_constraint scores"),
        ("op.execute('UPDATE ingest_log SET role = role')", "SQL ingest_log"),
        ("op.execute('CREATE INDEX ON documents (state)')", "SQL documents"),
    ],
)
def test_what_holds_up_a_large_table_is_found(statement: str, found: str) -> None:
    assert held_up(f"def upgrade():\n    {statement}\n") == {found}


@pytest.mark.parametrize(
    "statement",
    [
        "op.create_index('ix', 'sessions', ['visit'], if_not_exists=True)",
        "op.execute('CREATE INDEX IF NOT EXISTS ix ON documents (state)')",
        "op.add_column('scores', sa.Column('n', sa.Integer()))",
        "op.add_column('scores', sa.Column('n', sa.Integer(), server_default='0', nullable=False))",
        "op.create_index('ix', 'studies', ['title'])",
        "op.create_table('scores'); op.create_index('ix', 'scores', ['value'])",
    ],
)
def test_what_holds_up_nobody_is_let_through(statement: str) -> None:
    assert held_up(f"def upgrade():\n    {statement}\n") == set()
