"""The service speaks TLS towards tablets, and plain HTTP with this machine's own processes."""

import ssl
from pathlib import Path

import aiohttp
import pytest

from sync_server.settings import SettingsError, read_settings
from sync_server.tls.authority import site_authority
from tests.end_to_end.system import free_port
from tests.gateway.processes import Service
from tests.test_settings import GOOD


async def test_tablet_syncs_over_tls_of_the_sites_own_authority_and_the_own_processes_without(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    local = free_port()
    settings = {"SITE_CA": "true", "LOCAL_PORT": str(local)}
    with Service(tmp_path, database_url=database_url, redis_url=redis_url, **settings) as service:
        fingerprint = service.log_line("serving")["ca"]
        # It is enrolled through the service's own port, as the projector reads.
        service.port, outside = local, service.port
        enrolment = await service.enrol("lima")
        authority = site_authority(tmp_path, ["127.0.0.1"])
        assert authority.fingerprint == fingerprint
        trusting = ssl.create_default_context(cadata=authority.ca_pem.decode())
        headers = {"Authorization": f"Bearer {enrolment.token}"}
        document = {"_id": "session:a", "_rev": "1-a", "type": "session"}
        async with aiohttp.ClientSession(headers=headers) as http:
            url = f"https://127.0.0.1:{outside}/db/site-lima"
            pushed = await http.post(
                f"{url}/_bulk_docs", json={"new_edits": False, "docs": [document]}, ssl=trusting
            )
            assert (pushed.status, await pushed.json()) == (201, [])
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await http.get(url)
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"http://127.0.0.1:{outside}/db/site-lima")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"TLS_CERT": "c.pem"}, "TLS_CERT and TLS_KEY go together"),
        ({"TLS_KEY": "k.pem"}, "TLS_CERT and TLS_KEY go together"),
        ({"TLS_CERT": "c.pem", "TLS_KEY": "k.pem", "SITE_CA": "true"}, "SITE_CA makes a certificate"),
        ({"SITE_CA": "true", "LOCAL_PORT": "8000"}, "LOCAL_PORT must be another port"),
        ({"SITE_CA": "true", "PORT": "65535"}, "LOCAL_PORT must be another port"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_settings({**GOOD, **given})


def test_with_tls_people_and_tablets_are_sent_to_https_and_own_processes_are_not() -> None:
    settings = read_settings({**GOOD, "SITE_CA": "true"})
    assert settings.base_url == "https://127.0.0.1:8000"
    assert settings.feed_url == "http://127.0.0.1:8001/db"
