"""How the hub is: one page for whoever stands beside it, and the same as JSON.

Anybody on the clinic's network may read it, so it says nothing of any participant or document, and no secret.
"""

import html
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec

from replication.store.reading import BEYOND_EVERY_SEQUENCE, Selection
from sync_server.hub import journal
from sync_server.hub.contact import LinkState
from sync_server.hub.parts import Hub, now
from sync_server.hub.records import forget_meta, read_meta, write_meta
from sync_server.hub.tablets import SeenTablet, kept_tablets
from sync_server.policy import COLLECTED_TYPES

REFRESH_S: Final = 15
_PUSHED_THROUGH: Final = "pushed through"
_COLLECTED: Final = Selection(prefixes=tuple(f"{kind}:" for kind in COLLECTED_TYPES))


class TabletStatus(msgspec.Struct, frozen=True):
    """A tablet as the hub has seen it; `refusals`: documents of it that were refused here."""

    device: str
    last_seen: str
    last_push: str | None
    clock_offset_s: float | None
    refusals: int
    last_refusal: str | None


class HubStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state. Times are RFC 3339 by the hub's clock."""

    site: str
    device: str
    centre: str
    version: str
    ready: bool
    """Whether it was ever told who may sync here: no tablet is let in before."""
    link: LinkState
    documents_waiting: int
    journal_waiting: int
    storage_free_bytes: int
    urls: Sequence[str]
    certificate_fingerprint: str | None
    clock: datetime
    tablets: Sequence[TabletStatus]


def app_version() -> str:
    """The release that runs."""
    try:
        return version("metricis-sync")
    except PackageNotFoundError:
        return "unknown"


def keep_pushed(connection: sqlite3.Connection, through: str) -> None:
    """The centre has everything of the store's feed up to there."""
    write_meta(connection, _PUSHED_THROUGH, through.encode())


def forget_pushed(connection: sqlite3.Connection) -> None:
    """The centre may have lost it: everything waits until it was compared."""
    forget_meta(connection, _PUSHED_THROUGH)


async def documents_waiting(hub: Hub) -> int:
    """Documents that changed since the last one that the centre is known to have."""
    kept = await hub.records.do(lambda c: read_meta(c, _PUSHED_THROUGH))
    database = await hub.registry.open(hub.settings.database)
    since = await database.since("0" if kept is None else kept.decode())
    return await database.count_changes(since, BEYOND_EVERY_SEQUENCE, _COLLECTED)


async def read_status(hub: Hub) -> HubStatus:
    """How it is now. Raises RecordsFailed, CouchError, OSError."""
    waiting, refusals, kept = await hub.records.do(
        lambda c: (journal.count_untold(c), journal.refusals(c), kept_tablets(c))
    )
    return HubStatus(
        site=hub.settings.site,
        device=hub.device,
        centre=hub.settings.centre,
        version=app_version(),
        ready=hub.site_list.version is not None,
        link=hub.state,
        documents_waiting=await documents_waiting(hub),
        journal_waiting=waiting,
        storage_free_bytes=shutil.disk_usage(hub.settings.data_dir).free,
        urls=hub.urls,
        certificate_fingerprint=hub.fingerprint,
        clock=now(),
        tablets=[_tablet(seen, refusals) for seen in hub.tablets.now(kept)],
    )


def _tablet(seen: SeenTablet, refusals: Mapping[str, journal.Refusals]) -> TabletStatus:
    of_it = refusals.get(seen.device, journal.Refusals(0, None))
    return TabletStatus(
        seen.device, seen.last_seen, seen.last_push, seen.clock_offset_s, of_it.count, of_it.last
    )


_STYLE: Final = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem;color:#111;"
    "background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem}dt{font-weight:600}dd{margin:0 0 .6rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .5rem;"
    "border-bottom:1px solid #999;vertical-align:top}.wide{overflow-x:auto}"
    ".up,.down{padding:.5rem .8rem;border-left:.4rem solid;font-size:1.2rem}.up{border-color:#1a7f37}"
    ".down{border-color:#b42318}code{overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#111}}"
)


def page(status: HubStatus) -> str:
    """The status as a page of HTML that reads itself anew."""
    link = status.link
    state = "up" if link.up else "down"
    words = "The link to the centre is up" if link.up else "The link to the centre is down; tablets sync on"
    problems = [f"{step}: {why}" for step, why in link.problems.items()]
    facts = [
        ("Documents waiting for the centre", f"{status.documents_waiting}"),
        ("Journal entries waiting", f"{status.journal_waiting}"),
        ("Tablets are let in", "yes" if status.ready else "not before the first contact with the centre"),
        ("Last contact", _time(link.last_contact)),
        ("Last error", link.last_error or "none"),
        ("Problems", "; ".join(problems) or "none"),
        ("Clock", f"{_time(status.clock)}, {_offset(link.clock_offset_s)} compared with the centre's"),
        ("Storage free", f"{status.storage_free_bytes / 1e9:.1f} GB"),
        ("Reached at", ", ".join(status.urls)),
        ("Certificate fingerprint", status.certificate_fingerprint or "none of its own"),
        ("Centre", status.centre),
        ("Version", status.version),
    ]
    listed = "".join(f"<dt>{_text(name)}</dt><dd><code>{_text(fact)}</code></dd>" for name, fact in facts)
    rows = "".join(_row(tablet) for tablet in status.tablets)
    heads = ("Tablet", "Seen", "Pushed", "Clock", "Refused")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    none = f'<tr><td colspan="{len(heads)}">none yet</td></tr>'
    title = f"Hub {_text(status.device)} of {_text(status.site)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: link {state}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_S}"><style>{_STYLE}</style></head><body><main>'
        f'<h1>{title}</h1><p class="{state}" role="status">{words}, since {_time(link.since)}.</p>'
        f'<dl>{listed}</dl><h2 id="tablets">Tablets</h2><div class="wide">'
        f'<table aria-labelledby="tablets"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows or none}</tbody></table></div></main></body></html>"
    )


def _row(tablet: TabletStatus) -> str:
    refused = f"{tablet.refusals}" + (f": {tablet.last_refusal}" if tablet.last_refusal else "")
    cells = (
        _time(datetime.fromisoformat(tablet.last_seen)),
        _time(None if tablet.last_push is None else datetime.fromisoformat(tablet.last_push)),
        _offset(tablet.clock_offset_s),
        refused,
    )
    told = "".join(f"<td>{_text(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{_text(tablet.device)}</th>{told}</tr>'


def _time(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _offset(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    return "right" if abs(seconds) < 2 else f"{abs(seconds):.0f} s {'fast' if seconds > 0 else 'slow'}"


def _text(text: str) -> str:
    return html.escape(text, quote=True)
