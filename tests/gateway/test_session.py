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


async def test_no_cookie_is_given_out(gateway: Gateway, tablet: str) -> None:
    answer = await gateway.call("POST", "/_session", body={"name": "tab-1", "password": tablet})
    assert (answer.status, "Set-Cookie" in answer.headers) == (501, False)
    form = await gateway.call(
        "POST",
        "/_session",
        data=b"name=tab-1&password=x",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert form.status == 501
    assert (await gateway.call("DELETE", "/_session")).status == 200
