"""What a report is asked for. Pure."""

from typing import Any, Final

import msgspec

from reporting.reports.contents import Kind
from reporting.research.variables import Language

KINDS: Final = ("participant_report", "site_report", "study_report")
"""As files made by jobs know them."""


def kind_of(kind: Kind) -> str:
    """The kind of file of a report."""
    return f"{kind}_report"


class ReportRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The request as it stands beside study and sites. `participant`: the name under which the caller sees
    them, code or pseudonym.
    """

    language: Language = "en"
    participant: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The same request is the same JSON."""
        told: dict[str, Any] = {"language": self.language}
        return told if self.participant is None else {**told, "participant": self.participant}
