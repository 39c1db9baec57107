"""The parameters of a request, as a form carries them.

Lists are `fields[0]=a&fields[1]=b`, and also `fields[]=a` or `fields=a,b`. Booleans come as `True` and
`False` from PyCap, as `true` and `false` from the API's own examples, and as 1 and 0.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.redcap_double.records import TIME_FORMAT
from tests.redcap_double.refusals import Refusal, invalid_parameter

FORMATS = ("json", "csv", "xml")


@dataclass(frozen=True)
class Parameters:
    """All fields of the form but the token and files, the last of a name counts."""

    values: Mapping[str, str]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Parameters":
        """From a decoded form."""
        values: dict[str, str] = {}
        for at, (name, value) in enumerate(pairs):
            values[name.replace("[]", f"[+{at}]")] = value
        return cls(values)

    def text(self, name: str, default: str = "") -> str:
        """One value; blank is absent."""
        return self.values.get(name) or default

    def flag(self, name: str) -> bool:
        """Whether it is true."""
        return self.text(name).lower() in {"true", "1"}

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """One of the allowed words, the first where absent."""
        value = self.text(name, allowed[0])
        if value not in allowed:
            raise invalid_parameter(name, [value])
        return value

    def listed(self, name: str) -> list[str]:
        """A list in the order sent; empty where absent."""
        if single := self.text(name):
            return [part.strip() for part in single.split(",")]
        pattern = re.compile(re.escape(name) + r"\[[^\]]*\]")
        return [value for key, value in self.values.items() if pattern.fullmatch(key)]

    def moment(self, name: str) -> datetime | None:
        """Server time."""
        if not (text := self.text(name)):
            return None
        for pattern in (TIME_FORMAT, "%Y-%m-%d %H:%M", "%Y-%m-%d"):
            try:
                return datetime.strptime(text, pattern)  # noqa: DTZ007 (server time has no zone)
            except ValueError:
                continue
        raise Refusal(
            400, f"The value of the parameter \"{name}\" is not a date as YYYY-MM-DD HH:MM:SS: '{text}'"
        )

    @property
    def content(self) -> str:
        """Which of the API's methods."""
        return self.text("content")

    @property
    def action(self) -> str:
        """export, import, delete or another that the request names."""
        return self.text("action") or ("import" if "data" in self.values else "export")

    @property
    def format(self) -> str:
        """Of exported data: xml unless said otherwise."""
        return self.choice("format", ("xml", "json", "csv"))

    @property
    def return_format(self) -> str:
        """Of answers to imports and of errors: that of the data, else xml. Never refused."""
        named = self.text("returnFormat") or self.text("format")
        return named if named in FORMATS else "xml"
