"""The quarantine list."""

import pytest
from sqlalchemy import Engine

from tests.api.calls import Api
from tests.api.rows import NOON, put_quarantine, quarantined


async def test_entry_says_what_is_wrong_and_where(api: Api, engine: Engine) -> None:
    put_quarantine(engine, quarantined("lima", "session:a", quarantined_at=NOON))
    answer = await api.get("/api/quarantine")
    assert answer.body == {
        "data": [
            {
                "site": "lima",
                "doc_id": "session:a",
                "rev": "1-a",
                "type": "session",
                "code": "missing",
                "path": "$.study",
                "message": "study is required",
                "quarantined_at": "2016-07-22T12:00:00Z",
                "waived": False,
            }
        ],
        "pagination": {"page": 1, "per_page": 50, "total": 1, "pages": 1},
    }


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ["session:c", "session:a", "session:b", "consent:d"]),
        ({"site": "quito"}, ["session:b"]),
        ({"code": "not_json"}, ["session:a", "session:b"]),
        ({"type": "consent"}, ["consent:d"]),
        ({"at": "$.tasks[*].run"}, ["session:b"]),
        ({"site": "lima", "code": "not_json"}, ["session:a"]),
        ({"page": "2", "per_page": "3"}, ["consent:d"]),
        ({"code": "' OR 1=1 --"}, []),
    ],
    ids=str,
)
async def test_entries_are_filtered_latest_first(
    api: Api, engine: Engine, params: dict[str, str], found: list[str]
) -> None:
    put_quarantine(
        engine,
        quarantined("quito", "session:b", code="not_json", path="$.tasks[7].run", quarantined_at=NOON),
        quarantined("lima", "session:a", code="not_json", quarantined_at=NOON),
        quarantined("lima", "session:c", quarantined_at=NOON.replace(year=2017)),
        quarantined("lima", "consent:d", type="consent", quarantined_at=NOON.replace(year=2015)),
    )
    answer = await api.get("/api/quarantine", **params)
    assert [row["doc_id"] for row in answer.body["data"]] == found


@pytest.mark.parametrize("query", ["status=completed", "per_page=501", "type=", "code=a&code=b"])
async def test_query_that_is_not_understood_is_refused(api: Api, query: str) -> None:
    assert (await api.call("GET", f"/api/quarantine?{query}")).error == (422, "invalid_request")
