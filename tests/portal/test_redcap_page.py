"""REDCap from the pages, with a double of it: connecting, mapping, and what a push would change."""

import json
import re

import pytest

from tests.portal.conftest import Portal
from tests.redcap.redcap_office import GIVEN, roster_project
from tests.redcap_double.double import Double
from tests.redcap_double.running import running_in_thread

pytestmark = pytest.mark.asyncio(loop_scope="session")

REDCAP = "/portal/studies/ABC/redcap"
MAPPING = {"project": {"key": "abc", "record_id": {"from": "participant.redcap_id"}}}


async def test_a_study_is_connected_mapped_and_compared_with_what_redcap_has(portal: Portal) -> None:
    admin = await portal.signed_in("connects@example.org")
    portal.rows(
        "INSERT INTO visit_definitions (study, code, anchor) VALUES ('ABC', 'baseline', 'enrolment')"
        " ON CONFLICT DO NOTHING"
    )
    portal.rows(
        "INSERT INTO participants (study, code, site, redcap_id) VALUES ('ABC', 'r1', 'hyderabad', '15')"
    )
    portal.rows(
        "INSERT INTO sessions (site, id, study, participant, visit, status, started_at, received_at, rev)"
        " VALUES ('hyderabad', 'a-first', 'ABC', 'r1', 'baseline', 'completed', now(), now(), '1-a')"
    )
    portal.rows(
        "INSERT INTO task_runs (site, session_id, task, run, status, n_trials)"
        " VALUES ('hyderabad', 'a-first', 'simple_reaction_time', 1, 'completed', 20)"
    )
    portal.rows(
        "INSERT INTO scores VALUES ('hyderabad', 'a-first', 'simple_reaction_time', 1, 'avg_rt', 250.0, 1)"
    )
    double = Double([roster_project("<script>alert(1)</script>")], requests_per_minute=None)
    double.person_writes("15", {"ppt_code": "r1"}, event="base_arm_1")
    with running_in_thread(double) as address:
        page = await admin.get(REDCAP)
        fields = {"url": address.url, "api_token": double.token, "site": ""}
        connected = await admin.send(page, "connect_redcap", **fields)
        assert "The study is connected." in connected.text
        assert double.token not in connected.text
        tested = await admin.send(connected, "test_redcap")
        assert tested.status == 200
        assert "It works: &lt;script&gt;alert(1)" in tested.text

        editor = await admin.get(f"{REDCAP}/mapping")
        unfit = {**MAPPING, "instruments": [{**GIVEN["instruments"][0], "form": "no_such_form"}]}
        checked = await admin.send(
            editor, "save_mapping", mapping=json.dumps(unfit), reason="", **{"try": "on"}
        )
        assert "It does not fit yet." in checked.text
        assert "no_such_form" in checked.main
        refused = await admin.send(editor, "save_mapping", mapping=json.dumps(unfit), reason="")
        assert refused.status == 422
        mapping = json.dumps({**MAPPING, "instruments": GIVEN["instruments"]})
        fits = await admin.send(editor, "save_mapping", mapping=mapping, reason="", **{"try": "on"})
        assert "It fits every project." in fits.text
        assert portal.rows("SELECT count(*) FROM redcap_mappings WHERE study = 'ABC'") == [(0,)]
        assert "The mapping is saved" in (await admin.send(fits, "save_mapping", mapping=mapping)).text
        late = await admin.send(editor, "save_mapping", mapping=mapping)
        assert late.status == 412

        asked = await admin.get(f"{REDCAP}/difference")
        compared = await admin.send(asked, "compare_redcap", site="hyderabad", page="1")
        assert compared.status == 200
        assert "a-first" in compared.main
        assert re.search(r"<code>cog_srt</code></dt><dd><ins>250\.0</ins>", compared.main)
        pushed = await admin.send(await admin.get(REDCAP), "push_redcap", site="", reason="after mending")
        assert "what is right there stays" in pushed.text
    away = await admin.send(await admin.get(REDCAP), "test_redcap")
    assert "The project cannot be reached." in away.text
