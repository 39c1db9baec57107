"""What REDCap's tables have of a participant, for tests of erasures."""

from tests.administration.office import Office


def push_to_redcap(office: Office, planted: str) -> None:
    """What a push and a pull leave here: of the planted one and of a neighbour."""
    office.rows("INSERT INTO redcap_projects (project, study) VALUES ('p', 'SRO')")
    office.rows("UPDATE participants SET redcap_id = code || '-record' WHERE code = %s", planted)
    for session_id, participant in (("p-1", planted), ("n-1", "neighbour")):
        record = f"{participant}-record"
        ((row,),) = office.rows(
            "INSERT INTO redcap_ledger (project, study, site, session_id, form, record, payload)"
            " VALUES ('p', 'SRO', 'lima', %s, 'f', %s, '{}') RETURNING id",
            session_id,
            record,
        )
        office.rows(
            "INSERT INTO redcap_attempts (ledger, action, outcome, after)"
            " VALUES (%s, 'import', 'accepted', jsonb_build_object('x', %s::text))",
            row,
            participant,
        )
        office.rows(
            "INSERT INTO redcap_pulled (project, record, participant, value) VALUES ('p', %s, %s, '{}')",
            record,
            participant,
        )
        office.rows(
            "INSERT INTO outbox (kind, key, study, site, payload, payload_sha256)"
            " VALUES ('redcap', %s, 'SRO', 'lima',"
            " jsonb_build_object('site', 'lima', 'session', %s::text), '')",
            f"SRO/lima/{session_id}",
            session_id,
        )
