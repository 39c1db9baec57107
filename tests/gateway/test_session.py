"""`_session` under `/db`: whom a credential belongs to, and what a tablet does not learn."""

import base64

from tests.gateway.gateway import Gateway


async def test_a_request_without_a_credential_is_nobodys(gateway: Gateway) -> None:
    told = (await gateway.call("GET", "/_session")).json
    assert told["userCtx"] == {"name": None, "roles": []}


async def test_a_device_learns_its_name_and_role(gateway: Gateway, tablet: str) -> None:
    told = (await gateway.call("GET", "/_session", token=tablet)).json
    name = told["userCtx"]["name"]
    assert (told["userCtx"]["roles"], told["info"]["authenticated"]) == (["tablet"], "jwt")
    basic = base64.b64encode(f"{name}:{tablet}".encode()).decode()
    told = (await gateway.call("GET", "/_session", headers={"Authorization": f"Basic {basic}"})).json
    assert (told["userCtx"]["name"], told["info"]["authenticated"]) == (name, "default")


async def test_a_false_credential_is_refused(gateway: Gateway, tablet: str) -> None:
    assert (await gateway.call("GET", "/_session", token=tablet[:-8])).status == 401


async def test_a_device_logs_in_once_and_replicates_with_the_cookie(gateway: Gateway, tablet: str) -> None:
    name = (await gateway.call("GET", "/_session", token=tablet)).json["userCtx"]["name"]
    opened = await gateway.call("POST", "/_session", body={"name": name, "password": tablet})
    assert opened.json == {"ok": True, "name": name, "roles": ["tablet"]}
    set_cookie = opened.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Max-Age=600"} <= set(set_cookie.split("; "))
    cookie = {"Cookie": set_cookie.partition(";")[0]}
    told = (await gateway.call("GET", "/_session", headers=cookie)).json
    assert (told["userCtx"]["name"], told["info"]["authenticated"]) == (name, "cookie")
    assert (await gateway.call("GET", "/site-lima", headers=cookie)).status == 200
    assert (await gateway.call("GET", "/site-other", headers=cookie)).status == 403
    ended = (await gateway.call("DELETE", "/_session")).headers["Set-Cookie"]
    assert ended.startswith("AuthSession=;")


async def test_a_cookie_from_another_sites_page_is_nobodys(gateway: Gateway, tablet: str) -> None:
    headers = {"Cookie": f"AuthSession={tablet}", "Origin": "https://evil.example"}
    assert (await gateway.call("GET", "/site-lima", headers=headers)).status == 401


async def test_a_revoked_device_is_out_with_its_cookie_too(gateway: Gateway) -> None:
    token = await gateway.enrol("lima", "tab-9")
    cookie = {"Cookie": f"AuthSession={token}"}
    assert (await gateway.call("GET", "/site-lima", headers=cookie)).status == 404
    await gateway.revoke("lima", "tab-9")
    assert (await gateway.call("GET", "/site-lima", headers=cookie)).status == 401


async def test_wrong_logins_are_told_alike(gateway: Gateway, tablet: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answers = [
        await gateway.call("POST", "/_session", body={"name": "nobody", "password": tablet}),
        await gateway.call("POST", "/_session", body={"name": "tab-1", "password": "x"}),
        await gateway.call("POST", "/_session", data=b"name=tab-1&password=x", headers=form),
    ]
    assert {answer.status for answer in answers} == {401}
    assert {answer.json["reason"] for answer in answers} == {"Name or password is incorrect."}
    assert all("Set-Cookie" not in answer.headers for answer in answers)
