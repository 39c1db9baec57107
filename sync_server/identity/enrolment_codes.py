"""One-time codes with which a tablet enrols itself: whoever holds the tablet types or scans one.

A code says at which site, under which name; it opens nothing itself, and is worth nothing after it was
redeemed or has run out. Only its SHA-256 is kept.

| what happens | what follows |
|---|---|
| redeemed twice by one installation of the app | a new credential; the first, perhaps lost, is revoked |
| redeemed by another installation | refused, as an unknown code is |
| two redeem it at once | the first one has it |
| it is guessed | 50 bits, and few attempts a minute |
| the site is archived meanwhile | refused |
| the device is revoked, or enrolled by another code, meanwhile | refused |
"""

import hashlib
import re
import secrets
from datetime import datetime

from sqlalchemy import Delete, Insert, Select, Update, delete, func, insert, or_, select, update

from reporting.tables import enrolment_codes, sites
from sync_server.identity.devices import EnrolledRole, lock_device

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Nothing that looks like something else."""
_LENGTH = 12
_GROUP = 4


def new_code() -> str:
    """`K7QF-M2XD-9TBV`"""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return "-".join(letters[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))


def code_digest(code: str) -> bytes:
    """What is kept of a code, however it was typed."""
    typed = re.sub(r"[\s\-–_.]", "", code).upper()
    return hashlib.sha256(typed.encode("utf-8", "replace")).digest()


def insert_code(
    *,
    code: str,
    site: str,
    device: str,
    role: EnrolledRole,
    label: str,
    created_by: str,
    expires_at: datetime,
) -> Insert:
    """Statement: a new code → its id."""
    return (
        insert(enrolment_codes)
        .values(
            code_sha256=code_digest(code),
            site=site,
            device=device,
            role=role,
            label=label,
            created_by=created_by,
            expires_at=expires_at,
        )
        .returning(enrolment_codes.c.id)
    )


def hold_site_of_code(code: str) -> Select[str]:
    """Statement: the status of a code's site, which stays so until the transaction ends."""
    c = enrolment_codes.c
    named = select(c.site).where(c.code_sha256 == code_digest(code)).scalar_subquery()
    return select(sites.c.status).where(sites.c.code == named).with_for_update(read=True)


def hold_device_of_code(code: str) -> Select[None]:
    """Statement: nobody else enrols or revokes a code's device until the transaction ends."""
    c = enrolment_codes.c
    return lock_device(c.site, c.device).where(c.code_sha256 == code_digest(code))


def redeem_code(code: str, *, installation: str) -> Update:
    """Statement: redeem it → (id, site, device, role, label); no row where it is worth nothing to this one.
    Run `hold_site_of_code` and `hold_device_of_code` before: the site is not archived, and the device not
    revoked, meanwhile.
    """
    c = enrolment_codes.c
    digest = hashlib.sha256(installation.encode("utf-8", "replace")).digest()
    is_open = select(sites.c.code).where(sites.c.code == c.site, sites.c.status == "open").exists()
    return (
        update(enrolment_codes)
        .where(
            c.code_sha256 == code_digest(code),
            c.cancelled_at.is_(None),
            c.expires_at > func.now(),
            or_(c.redeemed_at.is_(None), c.installation_sha256 == digest),
            is_open,
        )
        .values(redeemed_at=func.coalesce(c.redeemed_at, func.now()), installation_sha256=digest)
        .returning(c.id, c.site, c.device, c.role, c.label)
    )


def cancel_code(code_id: int) -> Update:
    """Statement: end a code that was not redeemed → its site; no row where there is none."""
    c = enrolment_codes.c
    return (
        update(enrolment_codes)
        .where(c.id == code_id, c.redeemed_at.is_(None), c.cancelled_at.is_(None))
        .values(cancelled_at=func.now())
        .returning(c.site)
    )


def prune_codes(*, expired_before: datetime, limit: int) -> Delete:
    """Statement: codes that were good until before then, redeemed or not."""
    c = enrolment_codes.c
    old = select(c.id).where(c.expires_at < expired_before).limit(limit).with_for_update(skip_locked=True)
    return delete(enrolment_codes).where(c.id.in_(old))


def select_code_site(code_id: int) -> Select[str]:
    """Statement: the site of a code."""
    return select(enrolment_codes.c.site).where(enrolment_codes.c.id == code_id)
