"""The link in a reminder by which its participant ends reminders, without an account.

Its token is the reminder's number and what only the keys of `DATA_ENCRYPTION_KEYS` make of it and of its
participant: it names nobody, opens nothing else, and works for as long as the key is there. A reminder that
was erased is nobody's. A number may be given anew, to somebody else, after an older backup was restored: the
token of the mail that had it before is none of theirs.
"""

import base64
import hmac
from typing import Final

from sync_server.sealing import Sealer

PATH: Final = "/api/schedules/reminders/opt-out"
_BYTES: Final = 18


def opt_out_token(sealer: Sealer, number: int, study: str, participant: str) -> str:
    """The token of this reminder of this participant."""
    return f"{number}.{_signatures(sealer, number, study, participant)[0]}"


def opt_out_link(sealer: Sealer, base_url: str, number: int, study: str, participant: str) -> str:
    """The link that goes into its message."""
    return f"{base_url}{PATH}?token={opt_out_token(sealer, number, study, participant)}"


def named_reminder(token: str) -> int | None:
    """The number that the token says; None where it says none. Whether it is ours: `is_token_of`."""
    number, _, given = token.partition(".")
    is_token = number.isascii() and number.isdecimal() and len(number) < 19 and given.isascii()
    return int(number) if is_token else None


def is_token_of(sealer: Sealer, token: str, number: int, study: str, participant: str) -> bool:
    """Whether we made it for this reminder of this participant."""
    given = token.partition(".")[2]
    made = _signatures(sealer, number, study, participant)
    return any(hmac.compare_digest(given, each) for each in made)


def _signatures(sealer: Sealer, number: int, study: str, participant: str) -> list[str]:
    made = sealer.fingerprints("\0".join(["reminder opt-out 2", str(number), study, participant]))
    return [base64.urlsafe_b64encode(each[:_BYTES]).decode() for each in made]
