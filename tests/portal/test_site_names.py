"""What the sites of a page are called, where there are many."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from sync_server.api.sites import SitesQuery
from sync_server.portal.pages import Look
from sync_server.portal.study_pages import MOST, site_names


async def test_names_are_asked_for_in_as_many_parts_as_a_list_answers() -> None:
    asked: list[str] = []

    class Asked:
        async def ask(self, _route: Any, *, codes: str, **_others: Any) -> Any:
            asked.append(codes)
            rows = [SimpleNamespace(site=code, name=code.upper()) for code in codes.split(",")]
            return SimpleNamespace(data=rows[:MOST])

    codes = [f"s{number:062}" for number in range(MOST + 100)]
    names = await site_names(cast(Look, Asked()), [*codes, None])
    assert names == {code: code.upper() for code in codes}
    longest = next(each for each in msgspec.structs.fields(SitesQuery) if each.name == "codes").type
    assert all(msgspec.convert(each, longest) for each in asked)
