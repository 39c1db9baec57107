"""Every page of the portal on a database of 1,000 sites, 10,000 tablets and a million sessions.

An admin signs in as a browser does and asks each page, one request after another, as it is reached and with
what makes it work most: no filter, sorted, a filter that finds little, a page far back. Beside it stands the
page that reads least (one's own account), asked in the same run, and the processor seconds that the service
and Postgres needed for a page: on a machine that others use, these say more than a clock.

Last, live parts: what so many open pages cost while nothing changes.

With `--data-dir` the database is kept, and found again by the next run of the same size.
"""

import re
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import psycopg
import requests
from rich.console import Console
from rich.table import Table

from benchmarks.portal_rows import Size, fill
from reporting.engine import sync_engine
from sync_server.identity.passwords import hash_password
from sync_server.identity.users import insert_user
from sync_server.portal.pages import Page
from sync_server.portal.routes import PAGES
from tests.embedded.supervised import SupervisedSystem
from tests.gateway.processes import Service

DURABLE: Final = ("-m", "sync_server.embedded")
LIMIT_MS: Final = 200.0
REFERENCE: Final = "password"
"""The page that reads least."""
WARM_UP: Final = 2
MOST_SECONDS: Final = 20.0
"""For one address: what is slow is asked less often."""
_LIVE_PAGES: Final = ("home", "sites")

ASKED: Final[dict[str, Sequence[str]]] = {
    "home": ("",),
    "studies": ("", "?q=S&status=active"),
    "participants": (
        "",
        "?page={deep_people}",
        "?q=p1&sort=updated_at&order=desc",
        "?site=site-7",
        "?consent=none",
    ),
    "participant": ("", "?page=3"),
    "visits": ("", "?show=overdue", "?show=month", "?show=all", "?show=all&page={deep_visits}"),
    "reminders": ("", "?state=planned&page=20"),
    "redcap": ("", "?state=parked", "?participant=p1"),
    "users": ("", "?email=person-1", "?page=30"),
    "scores": ("", "?site=site-7", "?flagged=true&score=simple_reaction_time_avg_rt"),
    "codebook": ("?dataset=trials",),
    "exports": ("", "?page=30"),
    "reports": ("", "?page=30"),
    "sites": ("", "?page=20", "?sort=complete_through&order=desc", "?show=holding"),
    "receipts": ("?document=session:{session}",),
    "quarantine": ("", "?code=missing_member", "?code=missing_member&page=30", "?site=site-7", "?waived=any"),
    "quarantined": ("?site={site}&document=session:{quarantined}",),
    "conflicts": ("", "?page=50", "?site=site-7"),
    "conflict": ("?site={site}&session={quarantined}",),
    "replication": ("", "?stuck=true", "?page=20"),
    "hubs": ("",),
    "jobs": ("", "?state=any&page=300", "?kind=mail&state=done"),
    "audit": (
        "",
        "?page=200",
        "?page={deep_audit}",
        "?actor=person-7@example.org",
        "?entity=participant&entity_id=SRO/p7",
        "?site=site-7",
        "?study=SRO",
    ),
}
"""What a page is asked besides itself, by its name; others are asked without anything."""

PARTS: Final = {
    "site": "site-7",
    "device": "tablet-2",
    "study": "SRO",
    "participant": "p7",
    "visit": "next-2",
    "consent_form": "main",
    "code": "week-12",
    "rule": "week-before",
    "language": "en",
    "battery": "self-regulation",
    "bank": "vocabulary",
    "person": "7",
}


class Address(NamedTuple):
    """A page, and what it is asked."""

    page: str
    path: str


def measure(
    size: Size, rounds: int, open_pages: int, data_dir: Path | None, console: Console
) -> dict[str, Any]:
    """Milliseconds by page and query; processor milliseconds of the service and of Postgres."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metricis-bench-")))
        system = stack.enter_context(SupervisedSystem(data_dir or directory / "data", program=DURABLE))
        _filled(system.owner_url, size, console)
        service = stack.enter_context(
            Service(
                directory / "service",
                database_url=system.database_url,
                redis_url=system.redis_url,
                RESEARCH_STATEMENT_SECONDS="120",
            )
        )
        processes = _Processes(service.process.pid, system.pid("postgres"))
        addresses = _addresses(system.database_url)
        console.print(f"{len(addresses)} addresses of {len(PAGES)} pages …")
        pages = []
        for address in addresses:
            # Each address is asked by somebody of its own: a person has so many pages in a minute.
            browser = stack.enter_context(requests.Session())
            _sign_in(browser, service.base_url, _somebody(system.database_url))
            pages.append(_asked(address, browser, service.base_url, rounds, processes))
            console.print(f"{address.path}: {pages[-1]['p50_ms']:,.0f} ms")
        live = {
            name: _live(name, browser, service.base_url, open_pages, processes)
            for name in _LIVE_PAGES
            if open_pages
        }
    reference = next(each["p50_ms"] for each in pages if each["page"] == REFERENCE)
    for each in pages:
        each["ratio"] = each["p50_ms"] / reference
    return {
        "size": {name: getattr(size, name) for name in size.__struct_fields__},
        "pages": pages,
        "live": live,
    }


def too_slow(figures: dict[str, Any]) -> list[str]:
    """The addresses whose p95 is over the limit."""
    return [each["path"] for each in figures["pages"] if each["p95_ms"] > LIMIT_MS]


def _filled(owner_url: str, size: Size, console: Console) -> None:
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT count(*) FROM sessions").fetchone()
    found = 0 if row is None else row[0]
    if found == 0:
        console.print(f"Writing {size.sessions:,} sessions …")
        fill(owner_url, size)
    elif found != size.sessions:
        raise ValueError(f"The database has {found:,} sessions, not {size.sessions:,}.")


_PASSWORD: Final = uuid.uuid4().hex


def _somebody(url: str) -> str:
    """The address of a new admin, whose password is _PASSWORD."""
    engine = sync_engine(url)
    email = f"{uuid.uuid4().hex}@clinic.example"
    with engine.begin() as connection:
        connection.execute(insert_user(email, hash_password(_PASSWORD), "admin"))
    engine.dispose()
    return email


def _sign_in(browser: requests.Session, base: str, email: str) -> None:
    token = re.search(r'name="token" value="([^"]+)"', browser.get(f"{base}/portal/sign-in").text)
    assert token is not None
    posted = {"token": token[1], "email": email, "password": _PASSWORD}
    browser.post(f"{base}/portal/sign-in", data=posted).raise_for_status()


def _addresses(url: str) -> list[Address]:
    with psycopg.connect(url) as connection:

        def one(query: str) -> tuple[Any, ...]:
            return connection.execute(query.encode()).fetchone() or (None, None)

        site, document = one("SELECT site, doc_id FROM quarantine WHERE code = 'missing_member' LIMIT 1")
        (people,) = one("SELECT count(*) FROM participants WHERE study = 'SRO'")
        (visits,) = one("SELECT count(*) FROM visits WHERE study = 'SRO'")
        (entry,) = one("SELECT min(id) FROM redcap_ledger WHERE state = 'parked'")
        (job,) = one("SELECT min(id) FROM outbox WHERE state = 'dead'")
        (replication,) = one("SELECT min(id) FROM replication_jobs")
        (audit,) = one("SELECT count(*) FROM audit_log")
    session = str(document).removeprefix("session:")
    values = {
        "site": site,
        "session": session,
        "quarantined": session,
        "deep_people": people // 50,
        "deep_visits": visits // 80,
        "deep_audit": audit // 50,
    }
    ids = {"replication_job": replication, "job": job}
    found = []
    for page in PAGES:
        parts = {**PARTS, "entry": entry, "id": ids.get(page.name), **_site_of(page, site)}
        path = page.path.format_map(parts)
        found += [Address(page.name, path + each.format_map(values)) for each in ASKED.get(page.name, ("",))]
        if page.name in ("scores", "study", "participants"):
            found.append(Address(page.name, page.path.format_map({**parts, "study": "S-2"})))
    return found


def _site_of(page: Page, site: Any) -> dict[str, Any]:
    """Receipts are of the site of a document that there is."""
    return {"site": site} if page.name == "receipts" else {}


class _Processes:
    """The processor seconds of the service, and of Postgres with its workers."""

    def __init__(self, service: int, postgres: int) -> None:
        self._service = psutil.Process(service)
        self._postgres = psutil.Process(postgres)

    def seconds(self) -> tuple[float, float]:
        """Both until now. A worker that ended is counted with its parent."""
        return _seconds(self._service), _seconds(self._postgres)


def _seconds(process: psutil.Process) -> float:
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
        if each is process:
            total += times.children_user + times.children_system
    return total


def _asked(
    address: Address, browser: requests.Session, base: str, rounds: int, processes: _Processes
) -> dict[str, Any]:
    milliseconds: list[float] = []
    began, before = time.perf_counter(), processes.seconds()
    for number in range(-WARM_UP, rounds):
        if number == 0:
            before = processes.seconds()
        started = time.perf_counter()
        answer = browser.get(base + address.path)
        took = time.perf_counter() - started
        if not answer.ok:
            raise ValueError(f"{address.path} answers {answer.status_code}: {answer.text[-2000:]}")
        is_last = time.perf_counter() - began > MOST_SECONDS
        if number >= 0 or is_last:
            milliseconds.append(took * 1000)
        if is_last:
            break
    asked = len(milliseconds)
    service, postgres = (
        (after - then) / asked * 1000 for after, then in zip(processes.seconds(), before, strict=True)
    )
    return {
        "page": address.page,
        "path": address.path,
        "p50_ms": statistics.median(milliseconds),
        "p95_ms": sorted(milliseconds)[max(0, round(asked * 0.95) - 1)],
        "service_cpu_ms": service,
        "postgres_cpu_ms": postgres,
        "bytes": len(answer.content),
    }


def _live(
    name: str, browser: requests.Session, base: str, count: int, processes: _Processes
) -> dict[str, float]:
    """Of so many open pages, the share of a processor that they keep busy."""
    path = next(page.path for page in PAGES if page.name == name)
    found = re.search(r'data-live="([^"]+)"', browser.get(base + path).text)
    url = base + (path if found is None else found[1].replace("&amp;", "&"))
    stop = threading.Event()
    threads = [threading.Thread(target=_listen, args=(browser, url, stop), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(10)
    before, started = processes.seconds(), time.perf_counter()
    time.sleep(20)
    after, took = processes.seconds(), time.perf_counter() - started
    stop.set()
    return {
        "open": count,
        "service_share": (after[0] - before[0]) / took,
        "postgres_share": (after[1] - before[1]) / took,
    }


def _listen(browser: requests.Session, url: str, stop: threading.Event) -> None:
    with requests.get(
        url, headers={"Accept": "text/event-stream"}, cookies=browser.cookies, stream=True, timeout=120
    ) as answer:
        for _ in answer.iter_lines():
            if stop.is_set():
                return


def tables(figures: dict[str, Any]) -> Iterator[Table]:
    """The figures for people."""
    size = figures["size"]
    table = Table(
        title=f"{size['sites']:,} sites, {size['tablets']:,} tablets, {size['sessions']:,} sessions;"
        f" ratios to the page that reads least"
    )
    table.add_column("address", overflow="fold")
    for name in ("p50 ms", "p95 ms", "ratio", "service CPU ms", "Postgres CPU ms", "kB"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in figures["pages"]:
        numbers = [each[name] for name in ("p50_ms", "p95_ms", "ratio", "service_cpu_ms", "postgres_cpu_ms")]
        told = (f"{number:,.1f}" if number < 10 else f"{number:,.0f}" for number in numbers)
        mark = f"over {LIMIT_MS:.0f} ms" if each["p95_ms"] > LIMIT_MS else ""
        table.add_row(each["path"], *told, f"{each['bytes'] / 1000:,.0f}", mark)
    yield table
    for name, each in figures["live"].items():
        live = Table(title=f"{each['open']} open pages `{name}`, nothing changes: share of a processor")
        live.add_column("service")
        live.add_column("Postgres")
        live.add_row(f"{each['service_share']:.0%}", f"{each['postgres_share']:.0%}")
        yield live
