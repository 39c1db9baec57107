"""What is at a row's instance → what is to be done; REDCap's rows → places; `SITE_CONFIGS`."""

import json
from typing import Any

import pytest

from reporting.redcap.deciding import Decided, Equal, Gone, Lost, Moved, Write, decide
from reporting.redcap.ledger import LedgerRow
from reporting.redcap.remote import Place, import_row, places
from reporting.redcap.target import Address, Target
from sync_server.settings import SettingsError, read_settings
from tests.redcap.cases import FORM, LONGITUDINAL

AT = Address("7", "baseline_arm_1", FORM)
KEY = "cog_session_uid"
OURS = {KEY: "south/s-1", "cog_text": "x"}
OTHERS = {KEY: "south/s-2", "cog_text": "x"}
OLDER = {KEY: "south/s-1", "cog_text": "w"}
BY_HAND = {KEY: "", "cog_text": ""}


def row(*, accepted: dict[str, str] | None = None, instance: int = 2) -> LedgerRow:
    return LedgerRow(
        id=1,
        project="p",
        study="A",
        site="south",
        session_id="s-1",
        form=FORM,
        record="7",
        event="baseline_arm_1",
        instance=instance,
        state="sent",
        reason=None,
        payload=OURS,
        accepted=accepted,
        fence=1,
    )


@pytest.mark.parametrize(
    ("there", "given", "accepted", "withdraws", "decided"),
    [
        ({2: OURS}, {2}, None, False, Equal()),
        ({2: OLDER}, {2}, OLDER, False, Write({"cog_text": "w"})),
        ({}, {2}, None, False, Write({})),
        ({}, {2}, OURS, False, Write({})),
        ({4: OURS}, {2}, OURS, False, Moved(4)),
        ({2: OTHERS, 4: OURS}, {2}, None, False, Moved(4)),
        ({4: OURS}, {2, 4}, None, False, Write({})),
        ({2: OTHERS}, {2}, OURS, False, Lost()),
        ({2: BY_HAND}, {2}, None, False, Lost()),
        ({2: BY_HAND}, {2}, OURS, False, Lost()),
        ({2: BY_HAND | {"cog_text": "y"}}, {2}, OURS, False, Lost()),
        ({2: OURS | {KEY: ""}}, {2}, OURS, False, Write({KEY: ""})),
        (
            {2: OURS | {KEY: "", "cog_old": "south/s-1"}},
            {2},
            {"cog_old": "south/s-1"},
            False,
            Write({KEY: ""}),
        ),
        ({2: {KEY: "", "cog_session_complete": "2"}}, {2}, {"cog_session_complete": "2"}, False, Lost()),
        ({2: OTHERS}, {2}, OURS, True, Gone()),
        ({}, {2}, OURS, True, Gone()),
        ({2: OLDER}, {2}, OURS, True, Write({"cog_text": "w"})),
    ],
)
def test_what_is_at_the_instance_says_what_is_to_be_done(
    there: dict[int, dict[str, str]], given: set[int], accepted: Any, withdraws: bool, decided: Decided
) -> None:
    target = Target(address=AT, repeat="instrument", key_field=KEY, values=OURS)
    found = decide(row(accepted=accepted), target, there, given, LONGITUDINAL, withdraws=withdraws)
    assert found == decided


def test_a_row_that_is_imported_is_found_at_its_place_however_the_record_is_spelled() -> None:
    address = Address("ab7", "baseline_arm_1", FORM)
    sent = import_row(LONGITUDINAL, address, "instrument", 3, OURS)
    exported = {**sent, "record_id": "AB7"}
    enrolment = {**exported, "redcap_repeat_instrument": "", "redcap_repeat_instance": ""}
    found = places([exported, enrolment], LONGITUDINAL, [FORM, "enrolment"], ["ab7"])
    assert found == {
        Place(address, 3): exported,
        Place(Address("ab7", "baseline_arm_1", "enrolment"), 1): enrolment,
    }


ENVIRONMENT = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "DATA_DIR": "data"}
TOKEN = "0123456789abcdef0123456789abcdef"
URL = "https://redcap.example.org/api/"


def test_connections_of_sites_are_read_from_the_settings_and_their_tokens_are_in_no_repr() -> None:
    given = {"SITE_CONFIGS": json.dumps({"lima": {"redcap_url": URL, "token": TOKEN}})}
    settings = read_settings({**ENVIRONMENT, **given})
    assert (settings.site_configs["lima"].redcap_url, settings.site_configs["lima"].token) == (URL, TOKEN)
    assert TOKEN not in repr(settings)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (f"lima={TOKEN}", "SITE_CONFIGS is no JSON object"),
        (json.dumps([TOKEN]), "SITE_CONFIGS is no JSON object"),
        (json.dumps({"lima": {"url": URL, "token": TOKEN}}), "lima has not `redcap_url` and `token`"),
        (json.dumps({"lima": {"redcap_url": URL, "token": TOKEN + "0"}}), "token of lima is not usable"),
        (json.dumps({"lima": {"redcap_url": f"https://x/?t={TOKEN}", "token": TOKEN}}), "redcap_url of lima"),
        (json.dumps({TOKEN: {}}), "no code of a site"),
    ],
)
def test_connections_of_sites_that_are_not_usable_are_refused_and_not_shown(given: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        read_settings({**ENVIRONMENT, "SITE_CONFIGS": given})
    assert TOKEN not in str(refused.value)
