"""Enrolling and revoking devices: which credentials are in force.

`enrol` signs a credential and keeps only the SHA-256 of its token, so a stolen database opens nothing. The
token is shown once; who lost it enrols the device again. Enrolling again **revokes the device's earlier
credentials**: one tablet, one credential in force, unless the caller asks to `keep` them (the old token is
still on a tablet in the field that has to hand in its sessions first).

Both are one transaction of the caller's, and tell every gateway through `NOTIFY` when it commits, so that a
revoked tablet is cut off at once and not at the next reading of the table.
"""

import re
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Executable, Insert, Select, Update, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from reporting.sites import InvalidSiteName, is_site
from reporting.tables import device_labels, devices, enrolment_codes
from reporting.webhooks.events import Event
from sync_server.identity.device_credentials import DeviceCredential, SigningKey, token_digest

CREDENTIALS_CHANNEL = "device_credentials"
"""Postgres channel that is notified when a credential was enrolled or revoked."""

EnrolledRole = Literal["tablet", "hub"]

_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class InvalidDeviceName(ValueError):
    """A device name is a letter or digit, then up to 63 letters, digits, `.`, `_` or `-`."""

    def __init__(self, device: str) -> None:
        self.device = device
        super().__init__(f"{device!r} is no device name: {self.__doc__}")


class Enrolled(msgspec.Struct, frozen=True):
    """A new credential; `revoked` counts those that it replaced. The `token` exists here and nowhere else."""

    credential: DeviceCredential
    token: str
    revoked: int


def insert_credential(credential: DeviceCredential, token: str) -> Insert:
    """Statement: the row of a new credential."""
    return insert(devices).values(
        credential=credential.id,
        device=credential.device,
        site=credential.site,
        role=credential.role,
        token_sha256=token_digest(token),
    )


def device_revoked(site: str, device: str) -> Event:
    """The event of a revocation; each is one of its own, for a device may be enrolled and revoked again."""
    return Event(
        name="device.revoked",
        occurrence=f"{site}/{device}/{uuid.uuid4().hex}",
        site=site,
        data={"site": site, "device": device},
    )


def revoke_credentials(*, site: str, device: str) -> Update:
    """Statement: revoke every credential of this device that is in force."""
    return (
        update(devices)
        .where(devices.c.site == site, devices.c.device == device, devices.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def end_redeemed_codes(*, site: str, device: str, but: int | None = None) -> Update:
    """Statement: codes that this device has redeemed, `but` one, are good no more: a tablet that was revoked
    or replaced would help itself to another credential.
    """
    c = enrolment_codes.c
    which = [c.site == site, c.device == device, c.redeemed_at.is_not(None), c.cancelled_at.is_(None)]
    if but is not None:
        which.append(c.id != but)
    return update(enrolment_codes).where(*which).values(cancelled_at=func.now())


def select_credentials(ids: Iterable[str] | None = None) -> Select[str, bytes, bool]:
    """Statement: (credential, token_sha256, revoked) of all credentials, or of those with these ids."""
    statement = select(devices.c.credential, devices.c.token_sha256, devices.c.revoked_at.is_not(None))
    return statement if ids is None else statement.where(devices.c.credential.in_(list(ids)))


def enrol(
    connection: Connection,
    key: SigningKey,
    *,
    site: str,
    device: str,
    role: EnrolledRole,
    now: datetime,
    credential_id: str,
    keep: bool = False,
    code: int | None = None,
) -> Enrolled:
    """Enrol a device at a site, in the caller's transaction; the token is worth nothing until that commits.

    `keep` leaves the device's earlier credentials in force. `code` is the id of the one-time code that is
    redeemed by this. Raises InvalidSiteName or InvalidDeviceName.
    """
    if not is_site(site):
        raise InvalidSiteName(site)
    if _DEVICE.fullmatch(device) is None:
        raise InvalidDeviceName(device)
    credential = DeviceCredential(device=device, site=site, role=role, id=credential_id)
    token = key.sign(credential, now=now)
    # Two enrolments of one device at once would each miss, and so leave in force, the other's credential.
    connection.execute(lock_device(site, device))
    revoked = 0
    if not keep:
        revoked = connection.execute(revoke_credentials(site=site, device=device)).rowcount
        connection.execute(end_redeemed_codes(site=site, device=device, but=code))
    connection.execute(insert_credential(credential, token))
    connection.execute(_notify())
    return Enrolled(credential=credential, token=token, revoked=revoked)


def revoke(connection: Connection, *, site: str, device: str) -> int:
    """End every credential of a device, in the caller's transaction → how many were in force."""
    connection.execute(lock_device(site, device))
    revoked = connection.execute(revoke_credentials(site=site, device=device)).rowcount
    connection.execute(end_redeemed_codes(site=site, device=device))
    connection.execute(_notify())
    return revoked


def lock_device_rows(site: str, device: str) -> Select[str]:
    """Statement: hold what is known of a device until the transaction ends."""
    c = devices.c
    return select(c.credential).where(c.site == site, c.device == device).with_for_update()


def label_device(site: str, device: str, label: str, row_version: int) -> Executable:
    """Statement: call a device something, in this version of the label."""
    made = upsert(device_labels).values(site=site, device=device, label=label, row_version=row_version)
    new = made.excluded
    return made.on_conflict_do_update(
        index_elements=["site", "device"],
        set_={"label": new.label, "row_version": new.row_version, "updated_at": func.now()},
    )


def lock_device(site: Any, device: Any) -> Select[None]:
    """Statement: nobody else enrols or revokes this device until the transaction ends; texts, or columns.
    Taken before its codes and credentials are.
    """
    name = literal("device ").concat(site).concat("/").concat(device)
    return select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0)))


def _notify() -> Executable:
    return select(func.pg_notify(CREDENTIALS_CHANNEL, ""))
