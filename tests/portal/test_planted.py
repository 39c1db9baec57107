"""Every text in the database is markup, whoever put it there: no page takes any of it for its own.

Not this or that field is planted, but each column that Postgres lets be: one that is added is planted too.
"""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from sync_server.portal.pages import Page
from sync_server.portal.routes import PAGES, RESEARCH_PAGES
from tests.embedded.supervised import SupervisedSystem
from tests.own_database import own_database
from tests.portal import world_research
from tests.portal.conftest import serving
from tests.portal.world import MARK, PARTS, QUERIES, fill

pytestmark = pytest.mark.asyncio(loop_scope="session")

PLANTED: Final = f"{MARK} onfocus=alert(1) javascript:alert(1) "
SHOWN: Final = (
    "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&lt;b&gt;&#39;&amp; onfocus=alert(1) javascript:"
)

COLUMNS: Final = """
SELECT table_name, column_name, data_type FROM information_schema.columns
JOIN information_schema.tables USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER'
AND data_type IN ('text', 'character varying', 'jsonb', 'ARRAY') ORDER BY 1, 2
"""
LEFT: Final = {
    ("alembic_version", "version_num"): "nobody is shown it",
    (
        "redcap_mappings",
        "definition",
    ): "what has this shape only; its texts are those of the mapping page's form",
}
CODES: Final = (
    "UPDATE {t} SET {c} = replace({c}, {mark}, '')",
    ("site", "study", "code", "rule", "language"),
)
OF_CODES: Final = {"rule", "reminder_text", "scores", "exports", "reports", "quarantined"}
"""Pages whose routes look at codes of sites, studies, rules before they look for them."""
NUMBERS: Final = {"id", "entry", "person"}


def plant(connection: psycopg.Connection) -> dict[tuple[str, str], str]:
    """Put PLANTED before each text; what Postgres refuses, and why."""
    refused: dict[tuple[str, str], str] = {}
    # Keys change alike on both sides.
    connection.execute("SET session_replication_role = replica")
    connection.execute(
        "INSERT INTO waivers (site, doc_id, code, path, reason, waived_by) SELECT site, doc_id, code, path,"
        " 'known', 'ada@example.org' FROM quarantine WHERE doc_id = 'session:q1'"
    )
    connection.execute(
        "INSERT INTO reminder_opt_outs (study, participant, channel, by_whom)"
        " VALUES ('SRO', 'p1', 'all', 'ada@example.org')"
    )
    for table, column, kind in connection.execute(COLUMNS).fetchall():
        for said in () if (table, column) in LEFT else planted(column, kind):
            try:
                change(connection, said, table, column)
                refused.pop((table, column), None)
                break
            except psycopg.errors.IntegrityError as error:
                refused[table, column] = str(error)
    return refused


def planted(column: str, kind: str) -> list[str]:
    """Statements that do it; the second where the first is refused."""
    if kind == "jsonb":
        return [
            """UPDATE {t} SET {c} = replace({c}::text, ': "', ': "' || replace({mark}, '"', '\\"'))::jsonb"""
        ]
    if kind == "ARRAY":
        return [
            "UPDATE {t} SET {c} = (SELECT coalesce(array_agg({mark} || each), '{{}}') FROM unnest({c}) each)"
        ]
    if column == "doc_id":
        return ["UPDATE {t} SET {c} = regexp_replace({c}, ':', ':' || {mark})"]
    return [
        "UPDATE {t} SET {c} = {mark} || coalesce({c}, '')",
        "UPDATE {t} SET {c} = {mark} || {c}",
    ]


def change(connection: psycopg.Connection, statement: str, table: str, column: str) -> None:
    """A statement about a column."""
    names = {"t": sql.Identifier(table), "c": sql.Identifier(column), "mark": sql.Literal(PLANTED)}
    connection.execute(sql.SQL(statement).format(**names))


def address(page: Page, *, codes: bool) -> str:
    """Where a page is in the planted world; with `codes` as they were."""

    def part(name: str, value: str) -> str:
        is_code = codes and name in CODES[1]
        return value if name in NUMBERS or is_code else quote(PLANTED + value, safe="")

    parts = PARTS | ({"study": world_research.STUDY} if page in RESEARCH_PAGES else {})
    path = page.path.format(**{name: part(name, value) for name, value in parts.items()})
    marked = "(=session:|session=)" if codes else "(=session:|session=|site=)"
    return path + re.sub(marked, lambda found: found[0] + quote(PLANTED), QUERIES.get(page.name, ""))


async def test_what_came_in_is_text_on_every_page(
    postgres_server: SupervisedSystem, redis_url: str, tmp_path: Path
) -> None:
    with own_database(postgres_server) as url:
        owned = urlsplit(postgres_server.superuser_url)._replace(path=urlsplit(url).path).geturl()
        with psycopg.connect(owned, autocommit=True) as connection:
            fill(connection, mark="")
            refused = plant(connection)
            # Else only where Postgres knows the few words that there are.
            assert not [at for at, why in refused.items() if f"ck_{at[0]}_{at[1]}_known" not in why], refused
            shows: set[str] = set()
            async with serving(url, redis_url, tmp_path) as portal:
                browser = await portal.signed_in("mark@example.org", name=PLANTED)
                for page in sorted(PAGES, key=lambda page: page.name in OF_CODES):
                    codes = page.name in OF_CODES
                    if codes and not shows & OF_CODES:
                        for table, column, _ in connection.execute(COLUMNS).fetchall():
                            if column in CODES[1] and (table, column) not in refused:
                                change(connection, CODES[0], table, column)
                    shown = await browser.get(address(page, codes=codes))
                    assert shown.status == 200, (page.name, shown.text)
                    assert "<script>alert" not in shown.text, page.name
                    assert "<b>" not in shown.text, page.name
                    _Strict(page.name).feed(shown.text)
                    if SHOWN in shown.main:
                        shows.add(page.name)
    assert {page.name for page in PAGES} - shows == {"password", "second_factor"}


class _Strict(HTMLParser):
    """No inline script or style, nothing from elsewhere, every image told, every field with its label."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.labelled: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        inline = [name for name in given if name.startswith("on") or name == "style"]
        assert not inline, (self.page, inline)
        for name in ("src", "href", "action"):
            assert re.match("/(?!/)|#", given.get(name) or "/"), (self.page, given)
        if tag == "script":
            assert (given.get("src") or "").startswith("/portal/static/"), self.page
        if tag == "label":
            self.labelled.add(str(given.get("for")))
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            assert given.get("id") in self.labelled, (self.page, given)
        if tag == "svg":
            assert "aria-hidden" in given or given.get("aria-label") or given.get("aria-labelledby"), (
                self.page,
                given,
            )
