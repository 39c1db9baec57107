"""A tablet's own status → its row of `device_status`.

Pure. The leaves of a device document are not merged as those of a session are: each save tells everything, so
two leaves are two moments of one tablet, and the winner's is shown.

| live leaves | row |
|---|---|
| one or more valid | of the highest valid revision |
| only invalid ones | none: the status is unknown, and the quarantine says why |
| none: the document is deleted | the one there is stays, marked |
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from reporting.documents.kinds import Device
from reporting.documents.ranking import rank
from reporting.projection.batch import Receipt


class DeviceRow(NamedTuple):
    """`device_status`"""

    site: str
    device: str
    rev: str
    app_version: str | None
    os: str | None
    free_bytes: int | None
    battery_level: float | None
    outstanding: int | None
    clock_at: datetime | None
    received_at: datetime | None


def device_row(site: str, valid: Sequence[tuple[str, Device]], receipts: Mapping[str, Receipt]) -> DeviceRow:
    """`valid` are the valid live leaves by revision, spelled as rows spell it; one at least."""
    rev, (name, status) = max(valid, key=lambda leaf: rank(leaf[0]))
    receipt = receipts.get(rev)
    return DeviceRow(
        site=site,
        device=name,
        rev=rev,
        app_version=status.app,
        os=status.os,
        free_bytes=status.free_bytes,
        battery_level=status.battery_level,
        outstanding=status.outstanding,
        clock_at=status.clock_at,
        received_at=receipt.received_at if receipt else None,
    )
