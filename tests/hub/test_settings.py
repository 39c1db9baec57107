"""What a hub refuses to start with."""

from pathlib import Path
from typing import Any

import pytest

from sync_server.hub.settings import HubSettings, checked
from sync_server.settings import SettingsError

CERTIFICATE = {"tls_cert": Path("cert.pem"), "tls_key": Path("key.pem")}


def settings(**told: Any) -> HubSettings:
    return HubSettings(
        **{"centre": "https://sync.example.org/", "site": "lima", "data_dir": Path("hub"), **told}
    )


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"centre": "http://127.0.0.1:8000"},
        {"host": "0.0.0.0", "site_ca": True},  # noqa: S104
        {"host": "0.0.0.0", **CERTIFICATE},  # noqa: S104
        {"host": "0.0.0.0", "insecure_lan": True},  # noqa: S104
        {"urls": ("https://hub.local:8443/",)},
        {"urls": ("http://127.0.0.1:8443",)},
        {"host": "0.0.0.0", "insecure_lan": True, "urls": ("http://10.8.0.2:8443",)},  # noqa: S104
    ],
)
def test_a_hub_starts_where_nothing_travels_in_clear(told: dict[str, Any]) -> None:
    found = checked(settings(**told))
    assert not found.centre.endswith("/")
    assert not any(url.endswith("/") for url in found.urls)


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"centre": "http://sync.example.org"}, "over http"),
        ({"centre": "HTTP://sync.example.org"}, "over http"),
        ({"centre": "sync.example.org"}, "--centre"),
        ({"centre": "https://user:secret@sync.example.org"}, "--centre"),
        ({"host": "0.0.0.0"}, "--site-ca"),  # noqa: S104
        ({"tls_cert": Path("cert.pem")}, "belong together"),
        ({"site_ca": True, **CERTIFICATE}, "one of the two"),
        ({"site": "Lima!"}, "no site's name"),
        ({"urls": ("hub.local",)}, "--url"),
        ({"urls": ("https://hub.local/db",)}, "--url"),
        ({"host": "0.0.0.0", "site_ca": True, "urls": ("http://hub.local:8443",)}, "in clear"),  # noqa: S104
    ],
)
def test_an_unsafe_or_impossible_setting_is_refused_with_what_to_do(
    told: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SettingsError, match=problem):
        checked(settings(**told))
