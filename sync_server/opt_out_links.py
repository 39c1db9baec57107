"""The link in a reminder by which its participant ends reminders, without an account.

Its token is the reminder's number and what only the keys of `DATA_ENCRYPTION_KEYS` make of it: it names
nobody, opens nothing else, and works for as long as the key is there. A reminder that was erased is nobody's.
"""

import base64
import hmac
from typing import Final

from sync_server.sealing import Sealer

PATH: Final = "/api/schedules/reminders/opt-out"
_BYTES: Final = 18


def opt_out_token(sealer: Sealer, number: int) -> str:
    """The token of this reminder."""
    return f"{number}.{_signatures(sealer, number)[0]}"


def opt_out_link(sealer: Sealer, base_url: str, number: int) -> str:
    """The link that goes into its message."""
    return f"{base_url}{PATH}?token={opt_out_token(sealer, number)}"


def reminder_of_token(sealer: Sealer, token: str) -> int | None:
    """The reminder's number; None where the token is none of ours."""
    number, _, given = token.partition(".")
    if not (number.isascii() and number.isdecimal() and len(number) < 19 and given.isascii()):
        return None
    signatures = _signatures(sealer, int(number))
    return int(number) if any(hmac.compare_digest(given, each) for each in signatures) else None


def _signatures(sealer: Sealer, number: int) -> list[str]:
    made = sealer.fingerprints(f"reminder opt-out 1/{number}")
    return [base64.urlsafe_b64encode(each[:_BYTES]).decode() for each in made]
