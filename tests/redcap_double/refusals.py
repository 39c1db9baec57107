"""What the API refuses, and how it says so.

| status | when |
|---|---|
| 400 | the data or a parameter is wrong, or the form or record is locked |
| 403 | the token is unknown, or its user has not the right |
| 501 | the real API has the method, the double has not |
"""

from collections.abc import Sequence
from dataclasses import dataclass


class Refusal(Exception):
    """The request is refused as a whole; nothing was changed."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class BadValue:
    """One line of a data error. The API's line has no place for the repeat instance."""

    record: str
    field: str
    value: str
    message: str
    event: str = ""

    def line(self, *, names_event: bool = False) -> str:
        """Four quoted columns. Some versions write the event in parentheses after the record's name."""
        record = f"{self.record} ({self.event})" if names_event and self.event else self.record
        return ",".join(
            '"' + column.replace('"', '""') + '"' for column in (record, self.field, self.value, self.message)
        )


def bad_values(found: Sequence[BadValue], *, names_event: bool = False) -> Refusal:
    """All bad values of a request as the one refusal that the API makes of them."""
    return Refusal(400, "\n".join(value.line(names_event=names_event) for value in found))


def forbidden() -> Refusal:
    """The token is unknown, or was taken away."""
    return Refusal(403, "You do not have permissions to use the API")


def missing_right(right: str) -> Refusal:
    """The token's user may use the API, but not for this."""
    return Refusal(403, f"You do not have {right} privileges")


def not_implemented() -> Refusal:
    """The method is one of the real API's that the double leaves out."""
    return Refusal(501, "The requested method is not implemented.")


def invalid_parameter(name: str, values: Sequence[str]) -> Refusal:
    """A list parameter names things that the project has not."""
    quoted = ", ".join(f"'{value}'" for value in values)
    return Refusal(400, f'The following values in the parameter "{name}" are not valid: {quoted}')
