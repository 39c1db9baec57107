"""`SITE_CONFIGS`: REDCap connections of sites, given by whoever runs the system.

    {"lima": {"redcap_url": "https://redcap.example.org/api/", "token": "0123…"}}

Refused at boot where it is not usable; what is refused is named, and nothing of what was given is shown.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from reporting.sites import is_site

TOKEN: Final = re.compile(r"[0-9A-Fa-f]{32}")


class SiteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a site. Its token is in no repr."""

    redcap_url: str
    token: str

    def __repr__(self) -> str:
        return f"SiteConfig(redcap_url={self.redcap_url!r}, token=…)"


def wrong_url(url: str) -> str | None:
    """Why it is no address of a REDCap API, in a sentence; None where it is one. Where it may lead to is
    another question (`reporting.webhooks.addresses`).
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "It is no URL."
    if parts.scheme not in ("http", "https") or not host:
        return "It has to be an https:// URL with a host."
    if not parts.path.endswith("/api/") or parts.query or parts.fragment or "@" in parts.netloc:
        return "It has to end in /api/, and to have neither user nor query."
    return None


def wrong_token(token: str) -> str | None:
    """Why it is no token of a project; None where it may be one. Never tells the token."""
    return None if TOKEN.fullmatch(token) else "A token has 32 hexadecimal digits."


def read_site_configs(text: str) -> tuple[Mapping[str, SiteConfig], list[str]]:
    """Connections by site, and what is wrong: in sentences that begin with SITE_CONFIGS and show no value."""
    if not text:
        return {}, []
    try:
        given = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {}, [
            'SITE_CONFIGS is no JSON object {"site": {"redcap_url": "https://…/api/", "token": "…"}}.'
        ]
    found: dict[str, SiteConfig] = {}
    problems: list[str] = []
    for site, raw in given.items():
        if not is_site(site):
            problems.append("SITE_CONFIGS names something that is no code of a site.")
            continue
        try:
            config = msgspec.json.decode(raw, type=SiteConfig)
        except (msgspec.DecodeError, UnicodeDecodeError):
            problems.append(
                f"SITE_CONFIGS: {site} has not `redcap_url` and `token`, both texts, and only these."
            )
            continue
        if wrong := wrong_url(config.redcap_url):
            problems.append(f"SITE_CONFIGS: redcap_url of {site} is not usable. {wrong}")
        if wrong := wrong_token(config.token):
            problems.append(f"SITE_CONFIGS: token of {site} is not usable. {wrong}")
        found[site] = config
    return found, problems
