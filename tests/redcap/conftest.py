"""A study in Postgres, and a double that its sessions are pushed to."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from sync_server.jobs.resources import Resources
from sync_server.settings import Settings
from tests.administration.conftest import office
from tests.administration.conftest import office_settings as slow_settings
from tests.redcap.pushed import Study, cognition_project, drain, resources_of, settings_for
from tests.redcap_double.double import Double
from tests.redcap_double.running import running_in_thread

__all__ = ["office", "slow_settings"]


@pytest.fixture
def office_settings(slow_settings: Settings) -> Settings:
    """Requests to the double are not counted."""
    return msgspec.structs.replace(slow_settings, redcap_requests_per_minute=60_000)


class Pushing(NamedTuple):
    """All of it."""

    study: Study
    double: Double
    resources: Resources

    async def drain(self) -> None:
        """Until nothing waits."""
        await drain(self.study, self.resources)


@pytest.fixture
def double() -> Double:
    """With one project, and no limit of requests."""
    return Double([cognition_project()], requests_per_minute=None)


@pytest.fixture
def study(database_url: str, tmp_path: Path, double: Double) -> Iterator[Study]:
    """Founded, without sessions."""
    with running_in_thread(double) as address:
        made = Study(settings_for(database_url, tmp_path), address.url, double.token)
        with made:
            made.found()
            yield made


@pytest.fixture
async def pushing(study: Study, double: Double) -> AsyncIterator[Pushing]:
    """With a worker's resources."""
    async with resources_of(study.settings) as resources:
        yield Pushing(study, double, resources)
