"""A job as somebody asks for it, checked and sealed: the same for the API and the command.

| asked for | refused |
|---|---|
| a URL that `remote` refuses | yes |
| a selector with another kind than `custom`, or one that is none | yes |
| a login without user or password, with a token beside it, or with characters that no header has | yes |
| another URL without a credential, where there was one | yes: a job must not send it elsewhere |
"""

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from reporting.replication_jobs.changing import DIRECTIONS, Wanted
from reporting.replication_jobs.rows import Direction, JobKind, ReplicationJob
from sync_server.api.names import SiteCode
from sync_server.replication_jobs.credentials import Credential, seal
from sync_server.replication_jobs.remote import Own, refusal_of_remote, refusal_of_selector
from sync_server.sealing import Sealer
from sync_server.settings import Settings, own_base_url

JobName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)", max_length=64)]
RemoteUrl = Annotated[
    str, Meta(min_length=1, max_length=2000, description="https://centre.example/db/site-lima")
]
_Secret = Annotated[str, Meta(min_length=1, max_length=4000)]

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class GivenCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The login at the other side (`user` with `password`), or a `token`: a hub's or tablet's credential."""

    user: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    password: _Secret | None = None
    token: _Secret | None = None


class NewJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`collected`: what tablets hand in (pushed, unless `direction` says otherwise); `published`: what they
    get (pulled); `custom`: what `selector` selects, everything without one.
    """

    site: SiteCode
    name: JobName
    kind: JobKind
    url: RemoteUrl
    direction: Direction | None = None
    credential: GivenCredential | None = None
    selector: dict[str, Any] | None = None
    continuous: bool = True


class JobChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is given is changed. Another `url` takes a `credential` (or null) with it."""

    name: JobName | UnsetType = UNSET
    url: RemoteUrl | UnsetType = UNSET
    credential: GivenCredential | UnsetType | None = UNSET
    selector: dict[str, Any] | UnsetType | None = UNSET
    continuous: bool | UnsetType = UNSET


class Refused(Exception):
    """What is asked for cannot be done so; `member` says which part of it."""

    def __init__(self, member: str, why: str) -> None:
        self.member = member
        super().__init__(f"{member}: {why}")


def without_login(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def own_urls(settings: Settings) -> Own:
    """This server's own."""
    services = {settings.base_url, own_base_url(settings.host, settings.port)}
    stores = {f"{service}/db" for service in services} | {without_login(settings.feed_url)}
    if settings.couchdb_url is not None:
        stores.add(without_login(settings.couchdb_url.rstrip("/")))
    return Own(sorted(services), sorted(stores), settings.environment == "production")


def wanted_job(asked: NewJob, sealer: Sealer, own: Own) -> Wanted:
    """The job as it is kept. Raises Refused."""
    url = _url(asked.url, asked.site, own)
    _check_selector(asked.kind, asked.selector)
    return Wanted(
        site=asked.site,
        name=asked.name,
        kind=asked.kind,
        direction=asked.direction or DIRECTIONS[asked.kind],
        url=url,
        selector=asked.selector,
        continuous=asked.continuous,
        **_sealed(asked.credential, url, sealer),
    )


def wanted_changes(before: ReplicationJob, asked: JobChanges, sealer: Sealer, own: Own) -> dict[str, Any]:
    """Columns that change. Raises Refused."""
    changes: dict[str, Any] = {
        name: value
        for name in ("name", "selector", "continuous")
        if (value := getattr(asked, name)) is not UNSET and value != getattr(before, name)
    }
    if asked.selector is not UNSET:
        _check_selector(before.kind, asked.selector)
    url = before.url if asked.url is UNSET else _url(asked.url, before.site, own)
    if url != before.url:
        changes["url"] = url
        if before.has_credential and asked.credential is UNSET:
            raise Refused("credential", "It was given for another URL: give it again, or null for none.")
    if asked.credential is not UNSET:
        changes |= _sealed(asked.credential, url, sealer)
    return changes


def _url(asked: str, site: str, own: Own) -> str:
    url = asked.rstrip("/")
    refusal = refusal_of_remote(url, site=site, own=own)
    if refusal is not None:
        raise Refused("url", refusal)
    return url


def _check_selector(kind: JobKind, selector: dict[str, Any] | None) -> None:
    if selector is None:
        return
    if kind != "custom":
        raise Refused("selector", f"A job of the kind {kind} has its own; take the kind custom.")
    refusal = refusal_of_selector(selector)
    if refusal is not None:
        raise Refused("selector", refusal)


def _sealed(given: GivenCredential | None, url: str, sealer: Sealer) -> dict[str, Any]:
    if given is None:
        return {"login_name": None, "credential": None}
    refused = {
        "Give `user` and `password`, or `token` alone.": (given.user is None) != (given.password is None)
        or (given.user is None) == (given.token is None),
        "A user has no colon and no control characters.": given.user is not None
        and (":" in given.user or bool(_CONTROL.search(given.user))),
        "A password has no control characters.": bool(_CONTROL.search(given.password or "")),
        "A token has visible ASCII characters only.": given.token is not None
        and not _TOKEN.fullmatch(given.token),
    }
    for refusal, is_so in refused.items():
        if is_so:
            raise Refused("credential", refusal)
    credential = Credential(user=given.user, password=given.password, token=given.token)
    return {"login_name": given.user, "credential": seal(sealer, url, credential)}
