"""The service, a mail server, a relay and a worker."""

from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from sync_server.settings import Settings
from tests.administration.conftest import no_sites, office
from tests.administration.conftest import office_settings as settings_without_mail
from tests.administration.desk import Desk, at_desk
from tests.administration.office import Office
from tests.reminders.mail_server import MailServer, mail_server

__all__ = ["no_sites", "office", "settings_without_mail"]


@pytest.fixture
def mails() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def office_settings(settings_without_mail: Settings, mails: MailServer) -> Settings:
    return msgspec.structs.replace(
        settings_without_mail,
        smtp_url=mails.url,
        mail_from="sync@clinic.example",
        public_url="https://sync.clinic.example",
    )


@pytest.fixture
async def desk(office: Office) -> AsyncIterator[Desk]:
    async with at_desk(office) as at_work:
        yield at_work
