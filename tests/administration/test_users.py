"""Accounts and memberships: who makes them, who sees them, and that an admin is always left."""

import asyncio
from typing import Any

from tests.administration.office import Member, Office
from tests.administration.people import bearer, join, log_in, tokens

NEW = {"email": "New@Example.org", "name": "New", "language": "fr"}


async def test_an_account_is_made_with_a_password_told_once(office: Office) -> None:
    admin = office.as_("admin")
    answer = await admin.post("/api/users", {**NEW, "role": "researcher"})
    assert answer.status == 201, answer.body
    user, password = answer.body["user"], answer.body["temporary_password"]
    assert (user["email"], user["password_is_temporary"], user["role"]) == (
        "new@example.org",
        True,
        "researcher",
    )
    assert (await admin.post("/api/users", NEW)).error == (409, "taken")
    assert (await admin.post("/api/users", {**NEW, "email": "no address"})).error == (422, "invalid_request")
    assert (await admin.post("/api/users", {**NEW, "rôle": "admin"})).error == (422, "invalid_request")
    opened = await tokens(office.api, email="new@example.org", password=password)
    assert opened["password_change_required"] is True
    read = await admin.get(f"/api/users/{user['id']}")
    assert read.headers["ETag"] == '"1"'
    assert read.body == user
    stored = str(office.rows("SELECT * FROM audit_log, users"))
    assert "user.create" in stored
    assert password not in stored
    for missing in ("999999", "x", "0", "9" * 40):
        assert (await admin.get(f"/api/users/{missing}")).error == (404, "not_found")
    office.study("SRO")
    for other in (office.as_("coordinator"), office.as_("admin", study="SRO")):
        assert (await other.post("/api/users", NEW)).error == (403, "not_allowed")


async def test_without_a_mail_server_an_invitation_tells_a_temporary_password(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    manager = office.as_("admin", study="SRO")
    place: dict[str, Any] = {"study": "SRO", "site": "lima", "role": "coordinator"}
    invited = await manager.post("/api/users/invite", {**NEW, "memberships": [place]})
    assert invited.status == 201, invited.body
    assert invited.body["mailed"] is False
    password = invited.body["temporary_password"]
    assert (await log_in(office.api, password, email="new@example.org")).status == 200
    # Twice: another membership, and the password stays.
    wider = {**place, "site": None, "role": "researcher"}
    again = await manager.post("/api/users/invite", {**NEW, "memberships": [wider]})
    assert (again.body["created"], again.body["temporary_password"]) == (False, None)
    assert [each["site"] for each in again.body["user"]["memberships"]] == ["lima", None]
    assert (await log_in(office.api, password, email="new@example.org")).status == 200

    refused = {
        "elsewhere": [{**place, "study": "ABC", "site": "quito"}],
        "a site of no such study": [{**place, "site": "quito"}],
        "no study": [{**place, "study": "XYZ"}],
    }
    answers = {
        what: (await manager.post("/api/users/invite", {**NEW, "memberships": places})).error
        for what, places in refused.items()
    }
    assert answers == {
        "elsewhere": (404, "not_found"),
        "a site of no such study": (422, "invalid_request"),
        "no study": (404, "not_found"),
    }
    everywhere = await manager.post("/api/users/invite", {**NEW, "role": "admin", "memberships": [place]})
    assert everywhere.error == (403, "not_allowed")
    assert (await manager.post("/api/users/invite", NEW)).error == (403, "not_allowed")
    coordinator = office.as_("coordinator", study="SRO")
    assert (await coordinator.post("/api/users/invite", {**NEW, "memberships": [place]})).status == 403
    admin = office.as_("admin")
    assert (await admin.post("/api/users/invite", {**NEW, "role": "admin"})).error == (409, "taken")


async def test_members_are_seen_and_changed_within_ones_studies(office: Office) -> None:
    office.study("SRO", "lima")
    office.study("ABC", "quito")
    person = join(office, role=None)
    admin, manager = office.as_("admin"), office.as_("admin", study="SRO")
    path = f"/api/users/{person}/memberships"
    in_sro = {"study": "SRO", "role": "researcher"}
    # Nobody is made a member by number of whom the caller knows nothing.
    assert (await manager.put(path, in_sro)).error == (404, "not_found")
    assert (await admin.put(path, in_sro)).status == 200
    assert (await admin.put(path, {"study": "ABC", "site": "quito", "role": "read-only"})).status == 200
    seen = await manager.get(f"/api/users/{person}")
    assert seen.body["memberships"] == [{"study": "SRO", "site": None, "role": "researcher"}]
    for _ in range(2):
        changed = await manager.put(path, {**in_sro, "role": "coordinator"})
        assert changed.body["memberships"] == [{"study": "SRO", "site": None, "role": "coordinator"}]
    assert (await manager.put(path, {**in_sro, "study": "ABC"})).error == (404, "not_found")

    coordinator = office.as_("coordinator", study="SRO")
    listed = await coordinator.get("/api/users", sort="email", study="SRO")
    assert person in [row["id"] for row in listed.body["data"]]
    assert office.as_("admin").email not in [row["email"] for row in listed.body["data"]]
    assert (await coordinator.get("/api/users", study="ABC")).error == (404, "not_found")
    assert (await coordinator.put(path, in_sro)).error == (403, "not_allowed")
    office.study("XYZ")
    elsewhere = office.as_("coordinator", study="XYZ")
    assert (await elsewhere.get(f"/api/users/{person}")).error == (404, "not_found")
    at_lima = office.as_("admin", study="SRO", site="lima")
    assert (await at_lima.put(path, in_sro)).status in (403, 404)
    assert (await office.as_("researcher").get("/api/users")).error == (403, "not_allowed")
    everybody = await admin.get("/api/users", fields="id,email", active="true")
    assert {"id", "email"} == set(everybody.body["data"][0])

    removed = await manager.delete(path, {"study": "SRO"})
    assert (removed.status, removed.body["memberships"]) == (200, [])
    assert (await manager.delete(path, {"study": "SRO"})).error == (404, "not_found")
    assert (await admin.delete(path, {"study": "ABC"})).error == (404, "not_found")
    acts = office.rows(
        "SELECT action, study, site, before, after FROM audit_log"
        " WHERE action LIKE 'membership%%' ORDER BY id"
    )
    assert acts == [
        ("membership.put", "SRO", None, None, {"role": "researcher"}),
        ("membership.put", "ABC", "quito", None, {"role": "read-only"}),
        ("membership.put", "SRO", None, {"role": "researcher"}, {"role": "coordinator"}),
        ("membership.remove", "SRO", None, {"role": "coordinator"}, None),
    ]


async def test_an_account_is_changed_only_as_it_was_read(office: Office) -> None:
    person = join(office)
    admin, path = office.as_("admin"), f"/api/users/{person}"
    assert (await admin.patch(path, {"name": "A"})).error == (428, "precondition_required")
    changed = await admin.patch(path, {"name": "A", "email": "Eve@Example.org"}, If_Match='"1"')
    assert (changed.body["email"], changed.headers["ETag"]) == ("eve@example.org", '"2"')
    assert (await admin.patch(path, {"name": "B"}, If_Match='"1"')).error == (412, "precondition_failed")
    assert (await admin.patch(path, {"email": admin.email}, If_Match="*")).error == (409, "taken")
    assert (await admin.patch(path, {"email": None}, If_Match="*")).error == (422, "invalid_request")
    # One's own name is one's own; address and role are not.
    own = bearer(office.api, await tokens(office.api, email="eve@example.org"))

    async def change_own(body: dict[str, Any]) -> int:
        sender = own.sending(**{**own.headers, "If_Match": "*"})
        return (await sender.call("PATCH", path, json=body)).status

    assert await change_own({"name": "Eve", "language": "fr"}) == 200
    assert await change_own({"role": "admin"}) == 403
    assert await change_own({"email": "x@example.org"}) == 403
    me = (await own.get("/api/auth/me")).body
    assert (me["name"], me["language"], me["role"]) == ("Eve", "fr", "researcher")
    other = office.as_("researcher")
    assert (await other.patch(path, {"name": "x"}, If_Match="*")).error == (404, "not_found")
    [(before, after)] = office.rows(
        "SELECT before->>'email', after->>'email' FROM audit_log"
        " WHERE action = 'user.change' ORDER BY id LIMIT 1"
    )
    assert (before, after) == ("ada@example.org", "eve@example.org")


async def test_what_was_there_before_a_change_is_read_under_its_lock(office: Office) -> None:
    admin = office.as_("admin")
    person = (await admin.post("/api/users", NEW)).body["user"]["id"]
    with office.connection.transaction():
        office.rows("UPDATE users SET name = 'Between' WHERE id = %s", person)
        change = asyncio.create_task(admin.patch(f"/api/users/{person}", {"name": "Last"}, If_Match="*"))
        while not office.rows("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 (no event says so)
            await asyncio.sleep(0.01)
    assert (await change).status == 200
    (change_of_name,) = office.rows("SELECT before FROM audit_log WHERE action = 'user.change'")
    assert change_of_name[0]["name"] == "Between"


async def test_a_closed_account_is_out_at_once_and_can_be_opened_again(office: Office) -> None:
    person = join(office)
    mine = await tokens(office.api)
    admin = office.as_("admin")
    for _ in range(2):
        closed = await admin.post(f"/api/users/{person}/deactivate")
        assert (closed.status, closed.body["active"]) == (200, False)
    assert (await bearer(office.api, mine).get("/api/auth/me")).status == 401
    assert (await log_in(office.api)).error == (401, "not_authenticated")
    opened = await admin.post(f"/api/users/{person}/activate")
    assert opened.body["active"] is True
    assert (await bearer(office.api, mine).get("/api/auth/me")).status == 401
    assert (await log_in(office.api)).status == 200
    acts = [action for (action,) in office.rows("SELECT action FROM audit_log WHERE action LIKE 'user.%%'")]
    assert acts == ["user.deactivate", "user.activate"]
    office.study("SRO")
    assert (await office.as_("admin", study="SRO").post(f"/api/users/{person}/activate")).status == 404


async def test_of_two_admins_who_close_each_other_at_once_one_is_left(office: Office) -> None:
    first, second = office.as_("admin"), join(office, "second@example.org", role="admin")
    other = Member(
        bearer(office.api, await tokens(office.api, email="second@example.org")), "second@example.org"
    )
    [(number,)] = office.rows("SELECT id FROM users WHERE email = %s", first.email)
    answers = await asyncio.gather(
        first.post(f"/api/users/{second}/deactivate"),
        other.patch(f"/api/users/{number}", {"role": "researcher"}, If_Match="*"),
    )
    assert sorted(answer.status for answer in answers) in ([200, 401], [200, 403], [200, 409])
    assert len(office.rows("SELECT id FROM users WHERE role = 'admin' AND active")) == 1

    [(left,)] = office.rows("SELECT id FROM users WHERE role = 'admin' AND active")
    admin = first if left == number else other
    for refused in (
        await admin.post(f"/api/users/{left}/deactivate"),
        await admin.patch(f"/api/users/{left}", {"role": None}, If_Match="*"),
    ):
        assert refused.error == (409, "not_possible")
        assert "last admin" in refused.body["error"]["message"]
