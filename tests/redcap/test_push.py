"""Sessions come to REDCap: once each, with the values of now."""

from tests.redcap.conftest import Pushing
from tests.redcap.pushed import instances_of


async def test_sessions_of_two_records_get_an_instance_each_with_their_values(pushing: Pushing) -> None:
    study, double = pushing.study, pushing.double
    study.write("a", "1", srt=312.25)
    study.write("b", "1", srt=None, flags=["clock_suspect"])
    study.write("c", "2")
    await pushing.drain()
    assert study.states() == dict.fromkeys("abc", "done"), study.errors()
    (a,), (b,), (c,) = (instances_of(double.project, each) for each in "abc")
    assert {(each.record, each.instance) for each in (a, b, c)} == {("1", 1), ("1", 2), ("2", 1)}
    assert a.values["cog_srt_ms"] == "312.3"
    assert a.values["cog_session_complete"] == "2"
    assert b.values.get("cog_flags___1") == "1"
    assert "cog_srt_ms" not in b.values
