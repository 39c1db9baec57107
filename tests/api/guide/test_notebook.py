"""The notebook of docs/notebooks as a script, against a running service."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpServer

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebooks" / "retest.py"


@pytest.mark.usefixtures("environment")
async def test_the_notebook_draws_each_score_that_people_have_twice(
    app: web.Application, aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    server = await aiohttp_server(app)
    environment = {
        **os.environ,
        "METRICIS_URL": str(server.make_url("")),
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": str(tmp_path),
    }

    command = [sys.executable, "-W", "error", str(NOTEBOOK), "--study", "SRO"]
    drawn = await asyncio.to_thread(
        lambda: subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    )
    assert drawn.returncode == 0, drawn.stderr
    lines = drawn.stdout.splitlines()
    (effect,) = [line for line in lines if line.startswith("stroop_stroop_rt ")]
    # One of 22 has a serious flag.
    assert effect.split()[1] == "21"
    assert lines[-1].endswith("of SRO in retest.png")
    assert (tmp_path / "retest.png").read_bytes().startswith(b"\x89PNG")
