"""What makes a data directory this hub's: the credential that the centre gave for a one-time code.

| what happens at a start | what follows |
|---|---|
| no credential, no code | NotEnrolled |
| no credential, a code | it is redeemed; the credential is kept, 0600 |
| power goes before the credential is kept | the same code again: one installation may redeem it twice |
| a credential, the same code as then or none | the credential is used; the code is not asked about |
| a credential, another code | it is redeemed: the hub was revoked, or moved to another centre |
| the same, and the centre does not answer | the credential is used, tablets sync; the next start redeems |
| the code, or the directory, is another site's or device's; the code is a tablet's | NotEnrolled, in words |

The device stays: the centre keeps for it what was erased while the hub was revoked.
"""

import hashlib
import secrets
from pathlib import Path
from typing import Final

import jwt
import msgspec
import structlog

from sync_server.embedded.atomic_file import write_atomically
from sync_server.hub.centre import Centre
from sync_server.hub.contact import StepFailure
from sync_server.hub.settings import HubSettings
from sync_server.key_file import load_or_create_key

_FILE: Final = "hub.json"

log = structlog.get_logger()


class NotEnrolled(Exception):
    """The hub has no credential, and none can be had now; the message says why."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Who this hub is. `code_sha256` is of the code that was redeemed."""

    site: str
    device: str
    token: str
    code_sha256: str


async def enrolled(settings: HubSettings, centre: Centre) -> Membership:
    """The hub's credential; redeemed now if the settings have a new code. Raises NotEnrolled, OSError."""
    kept = load(settings.data_dir)
    digest = None if settings.code is None else hashlib.sha256(settings.code.encode()).hexdigest()
    if kept is not None and digest in (None, kept.code_sha256):
        return _of_site(kept, settings.site)
    if settings.code is None or digest is None:
        raise NotEnrolled(
            f"{settings.data_dir} is not enrolled: make a one-time code for a hub of {settings.site} at the"
            " centre, and give it once as --code."
        )
    installation = load_or_create_key(
        settings.data_dir / "installation", lambda: secrets.token_urlsafe(32).encode()
    ).decode()
    try:
        given = await centre.enrol(settings.code, installation)
    except StepFailure as failure:
        if kept is not None and failure.kind == "away":
            log.warning("the new code waits for the next start", centre=settings.centre, reason=failure.why)
            return _of_site(kept, settings.site)
        raise NotEnrolled(f"The code could not be redeemed at {settings.centre}: {failure.why}") from failure
    if _role(given.token) != "hub":
        raise NotEnrolled("This code enrols a tablet. Make one for a hub.")
    made = _of_site(
        Membership(site=given.site, device=given.device, token=given.token, code_sha256=digest),
        settings.site,
    )
    if kept is not None and kept.device != made.device:
        raise NotEnrolled(
            f"{settings.data_dir} is the hub {kept.device}, and the code is for {made.device}: make one for"
            f" {kept.device}, or take a new directory."
        )
    write_atomically(settings.data_dir / _FILE, msgspec.json.encode(made))
    return made


def load(data_dir: Path) -> Membership | None:
    """What was kept; None where the hub was never enrolled. Raises NotEnrolled, OSError."""
    path = data_dir / _FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=Membership)
    except msgspec.DecodeError as error:
        raise NotEnrolled(
            f"{path} cannot be read ({error}): enrol the hub anew, in a new directory"
        ) from error


def _of_site(membership: Membership, site: str) -> Membership:
    if membership.site != site:
        raise NotEnrolled(
            f"This hub is enrolled at {membership.site}, not at {site}: give --site {membership.site}."
        )
    return membership


def _role(token: str) -> str | None:
    try:
        role = jwt.decode(token, options={"verify_signature": False}).get("role")
    except jwt.PyJWTError:
        return None
    return role if isinstance(role, str) else None
