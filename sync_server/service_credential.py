"""The credential with which this system's own processes call the store: renewed before it expires."""

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from sync_server.identity.device_credentials import SERVICE_LIFETIME, SigningKey, mint_service_token


def service_headers(key: SigningKey, *, service: str) -> Callable[[], Mapping[str, str]]:
    """Headers for `replication.client`, with a token that has at least half its life left."""
    minted_at = datetime.min.replace(tzinfo=UTC)
    headers: Mapping[str, str] = {}

    def current() -> Mapping[str, str]:
        nonlocal minted_at, headers
        now = datetime.now(UTC)
        if now - minted_at > SERVICE_LIFETIME / 2:
            token = mint_service_token(key, service=service, now=now, credential_id=uuid.uuid4().hex)
            minted_at, headers = now, {"Authorization": f"Bearer {token}"}
        return headers

    return current
