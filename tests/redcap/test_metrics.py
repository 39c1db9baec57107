"""What an alert looks at."""

from tests.administration.office import Office


async def test_metrics_count_rows_by_state_pauses_and_bans_and_name_no_host(office: Office) -> None:
    office.rows("INSERT INTO redcap_projects (project, study, paused_at) VALUES ('p', 'SRO', now())")
    office.rows(
        "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, state) VALUES"
        " ('p', 'SRO', 'lima', 'a', 'f', '1', 'parked'), ('p', 'SRO', 'lima', 'b', 'f', '1', 'done')"
    )
    office.rows("INSERT INTO redcap_hosts (host, banned_at) VALUES ('redcap.example.org:443', now())")
    office.rows("INSERT INTO redcap_hosts (host, open_until) VALUES ('x:443', now() + interval '1 hour')")
    metrics = (await office.as_("admin").get("/api/metrics")).body
    for line in (
        'metricis_redcap_sessions{project="p",state="parked"} 1.0',
        'metricis_redcap_paused{project="p"} 1.0',
        "metricis_redcap_banned 1.0",
        "metricis_redcap_failing 1.0",
    ):
        assert line in metrics
    assert "example.org" not in metrics
