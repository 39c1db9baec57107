"""Chosen columns, and rows that meet conditions, of field sessions: exported is what was asked for."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy import text

from reporting.research.audience import Audience
from reporting.research.datasets import DATASETS
from sync_server.cli import main
from sync_server.research_files.making import CannotMake
from tests.exports.test_exports_of_datasets import Exports, _command, exports, field, from_csv

__all__ = ["exports", "field"]


def test_chosen_columns_and_rows_that_meet_conditions_are_what_is_exported(
    exports: Exports, database_url: str, tmp_path: Path
) -> None:
    trials = DATASETS["trials"]
    at = {each.name: number for number, each in enumerate(trials.variables)}
    rows = [row for row in exports.expected("trials") if row[at["rt_ms"]] and row[at["rt_ms"]] >= 400]
    someone = rows[0][at["participant"]]
    asked: dict[str, Any] = {
        "columns": {"trials": ("rt_ms", "participant", "extra")},
        "where": ("rt_ms.gte=400", f"participant.in={someone},nobody", "from=2010-01-01"),
    }
    names = asked["columns"]["trials"]
    expected = [[row[at[name]] for name in names] for row in rows if row[at["participant"]] == someone]
    assert 0 < len(expected) < len(rows)
    files = exports.make("trials", "quality", times=2, columns=asked["columns"], where=asked["where"][1:])
    assert exports.described["trials.csv"] == list(names)
    assert files["trials.csv"].decode().splitlines()[0] == ",".join(names)
    assert len(exports.described["quality.csv"]) == len(DATASETS["quality"].variables)
    table = pq.read_table(io.BytesIO(exports.make("trials", format="parquet", **asked)["trials.parquet"]))
    assert [list(row.values()) for row in table.to_pylist()] == expected
    # De-identified, conditions are on what is shown.
    shown = [row[at["participant"]] for row in exports.expected("trials", Audience.DEIDENTIFIED)]
    pseudonym = shown[0]
    files = exports.make("trials", identified=False, where=(f"participant={pseudonym}",))
    assert len(from_csv("trials", files["trials.csv"])[1]) == shown.count(pseudonym)
    manifest = json.loads(files["manifest.json"])
    assert manifest["data"]["request"]["where"] == [f"participant={pseudonym}"]
    assert (
        from_csv("trials", exports.make("trials", identified=False, where=asked["where"])["trials.csv"])[1]
        == []
    )
    # Who is not in the trials is not in the roster beside them.
    files = exports.make("trials", format="bids", columns={"trials": ("rt_ms",)}, where=asked["where"])
    with zipfile.ZipFile(io.BytesIO(files["trials_bids.zip"])) as bids:
        assert len(bids.read("participants.tsv").splitlines()) == 2
        runs = [bids.read(name).decode().splitlines() for name in bids.namelist() if "_run-" in name]
    assert {run[0] for run in runs} == {"rt_ms"}
    assert sum(len(run) - 1 for run in runs) == len(expected)
    content = exports.make("sessions_wide", format="redcap", columns={"sessions_wide": ("visit",)})
    assert content["sessions_wide.csv"].startswith(
        b"record_id,redcap_repeat_instrument,redcap_repeat_instance,visit\r\n"
    )
    given = [f"--where={each}" for each in asked["where"]] + [f"--column={each}" for each in names]
    here = _command(database_url, tmp_path, "SRO", "--dataset=trials", "--identified", *given)
    with zipfile.ZipFile(here["file"]) as archive:
        assert archive.read("trials.csv") == exports.make("trials", **asked)["trials.csv"]
    assert _command(
        database_url, tmp_path, "SRO", "--dataset=trials", "--identified", "--dry-run", *given
    ) == {"trials": len(expected)}
    with exports.engine.begin() as connection:
        [recorded] = connection.scalars(text("SELECT after->'request' FROM audit_log"))
        assert recorded["where"] == ["from", "participant.in", "rt_ms.gte"]
        connection.execute(text("UPDATE research_policies SET dates = 'days'"))
    with pytest.raises(CannotMake, match="This study does not show started_at"):
        exports.make("trials", identified=False, where=("from=2010-01-01",))
    said = CliRunner().invoke(
        main,
        ["export", "SRO", "--column=rt_ms"],
        env={"DATA_DIR": str(tmp_path), "DATABASE_URL": database_url},
    )
    assert (said.exit_code, "DATASET.COLUMN" in said.output) == (1, True)
    assert DATASETS["trials"].find("key_session") is None
