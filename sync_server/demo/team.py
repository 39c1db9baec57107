"""What a study team does before the first session, through the API as anybody would: site, study, battery,
visits, roster, and a code with which the tablet enrols itself.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec

from sync_server.demo.task_runs import TASKS
from sync_server.enrolment import Enrolment

STUDY = "DEMO"
BATTERY = "self-regulation"
TIMEZONE = "America/Lima"
VISITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("baseline", {"anchor": "enrolment", "offset_days": 0, "window_before_days": 0, "window_after_days": 14}),
    (
        "retest",
        {"anchor": "baseline", "offset_days": 112, "window_before_days": 14, "window_after_days": 28},
    ),
)
"""As the generated sessions have them."""


def record_of(code: str) -> str:
    """The name of a participant's record in REDCap: 3 for p003."""
    return str(int(code.removeprefix("p")))


class NotDone(Exception):
    """The API refused a step; the message says which and why."""


class StudyTeam:
    """An admin with a browser, so to speak."""

    def __init__(self, http: aiohttp.ClientSession, base_url: str, token: str) -> None:
        self._http = http
        self._base = base_url
        self._headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    async def log_in(
        cls, http: aiohttp.ClientSession, base_url: str, *, email: str, password: str
    ) -> "StudyTeam":
        """Raises NotDone."""
        form = {"username": email, "password": password}
        async with http.post(f"{base_url}/api/auth/login", data=form) as response:
            return cls(http, base_url, (await _told(response))["access_token"])

    async def set_up(self, site: str, participants: Sequence[tuple[str, str]]) -> None:
        """The study at this site, with these participants (code, day of enrolment). Raises NotDone."""
        await self.call("POST", "/api/sites", {"code": site, "name": "Lima", "timezone": TIMEZONE})
        await self.call("POST", "/api/studies", {"code": STUDY, "title": "Self-regulation (demo)"})
        await self.call("PUT", f"/api/studies/{STUDY}/sites/{site}", {})
        # A sitting has a part of the battery, so none of its tasks has to be in every session.
        tasks = [{"task": task, "optional": True} for task in TASKS]
        draft = {"title": "Self-regulation", "definition": {"tasks": tasks}}
        await self.call("PUT", f"/api/batteries/{BATTERY}/draft", draft)
        await self.call("POST", f"/api/batteries/{BATTERY}/publish", {})
        await self.call("PUT", f"/api/studies/{STUDY}/batteries/{BATTERY}/1", {})
        for code, definition in VISITS:
            visit = {**definition, "battery": {"id": BATTERY, "version": 1}}
            await self.call("PUT", f"/api/schedules/{STUDY}/{code}", visit)
        await self.call("PATCH", f"/api/studies/{STUDY}", {"status": "active"})
        rows = [f"{code},{site},enrolled,en,{day},{record_of(code)}" for code, day in participants]
        roster = "\n".join(["code,site,status,language,enrolled_on,redcap_id", *rows]).encode()
        await self.call("POST", f"/api/participants/import?study={STUDY}", roster)

    async def enrol_tablet(self, site: str, device: str) -> Enrolment:
        """As the tablet: redeem a code that the team has made for it. Raises NotDone."""
        code = (await self.call("POST", "/api/sync/enrolments", {"site": site, "device": device}))["code"]
        redemption = {"code": code, "installation": secrets.token_hex(16)}
        async with self._http.post(f"{self._base}/api/sync/enrol", json=redemption) as response:
            return msgspec.convert(await _told(response), Enrolment)

    async def call(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> Any:
        """One request; its answer. Raises NotDone."""
        headers = {**self._headers, "If-Match": "*"}
        if isinstance(body, bytes):
            headers["Content-Type"] = "text/csv"
            data = body
        elif body is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        else:
            data = b""
        async with self._http.request(method, self._base + path, headers=headers, data=data) as response:
            return await _told(response)


async def _told(response: aiohttp.ClientResponse) -> Any:
    text = await response.read()
    if response.status >= 400:
        raise NotDone(f"{response.method} {response.url.path}: {text.decode('utf-8', 'replace')}")
    return msgspec.json.decode(text) if text else None
