"""Fixtures; a directory's conftest imports those that it wants, and names them in its `__all__`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redcap.project import Project as Client

from tests.redcap_double.building import study_project
from tests.redcap_double.double import Double
from tests.redcap_double.faults import Faults
from tests.redcap_double.project import Project
from tests.redcap_double.request_log import RequestLog
from tests.redcap_double.running import Address, DoubleProcess, running_in_thread


@dataclass(frozen=True)
class Running:
    """A double that serves, and what a test mostly wants of it."""

    double: Double
    address: Address

    @property
    def url(self) -> str:
        """The API, as clients want it."""
        return self.address.url

    @property
    def token(self) -> str:
        """Of the first user."""
        return self.double.token

    @property
    def project(self) -> Project:
        """The first project."""
        return self.double.project

    @property
    def faults(self) -> Faults:
        """Where faults are added."""
        return self.double.faults

    @property
    def requests(self) -> RequestLog:
        """All requests since the start."""
        return self.double.requests

    def client(self, token: str = "", **options: Any) -> Client:
        """PyCap, with a timeout unless another is given."""
        return Client(self.url, token or self.token, **({"timeout": 20} | options))


@pytest.fixture
def redcap_double() -> Iterator[Running]:
    """A double in a thread with `study_project()`."""
    double = Double([study_project()])
    with running_in_thread(double) as address:
        yield Running(double, address)


@pytest.fixture
def redcap_double_process() -> Iterator[DoubleProcess]:
    """The same in a process of its own, for tests that kill it."""
    with DoubleProcess() as process:
        yield process
