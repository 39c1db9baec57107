"""A signature is checked once; expiry every time."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from sync_server.gateway.verified import RememberingVerifier
from sync_server.identity.device_credentials import (
    CredentialVerifier,
    DeviceCredential,
    ExpiredCredential,
    ForeignCredential,
    InvalidCredential,
    SigningKey,
    mint_service_token,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = SigningKey.generate()


def _token(device: str = "tab-1") -> tuple[str, DeviceCredential]:
    credential = DeviceCredential(device=device, site="lima", role="tablet", id=f"id of {device}")
    return KEY.sign(credential, now=NOW), credential


def _verifier(*, most: int = 10) -> RememberingVerifier:
    public_key = load_pem_public_key(KEY.verifier.public_pem)
    assert isinstance(public_key, EllipticCurvePublicKey)
    return RememberingVerifier(public_key, most=most)


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signatures were checked."""
    tokens: list[str] = []
    verify = CredentialVerifier.verify

    def noted(self: CredentialVerifier, token: str, *, now: datetime) -> DeviceCredential:
        tokens.append(token)
        return verify(self, token, now=now)

    monkeypatch.setattr(CredentialVerifier, "verify", noted)
    return tokens


def test_a_signature_is_checked_once(checked: list[str]) -> None:
    verifier = _verifier()
    token, credential = _token()
    assert [verifier.verify(token, now=NOW) for _ in range(3)] == [credential] * 3
    assert checked == [token]


def test_a_token_that_is_not_valid_is_refused_every_time(checked: list[str]) -> None:
    verifier = _verifier()
    token, _ = _token()
    verifier.verify(token, now=NOW)
    foreign = SigningKey.generate().sign(_token()[1], now=NOW)
    for broken, failure in (
        (token[:-3] + "abc", InvalidCredential),
        (foreign, ForeignCredential),
        ("", InvalidCredential),
    ):
        for _ in range(2):
            with pytest.raises(failure):
                verifier.verify(broken, now=NOW)
    assert len(checked) == 7


def test_a_remembered_token_expires(checked: list[str]) -> None:
    verifier = _verifier()
    token = mint_service_token(KEY, service="projector", now=NOW, credential_id="x")
    assert verifier.verify(token, now=NOW + timedelta(minutes=9)).role == "service"
    for _ in range(2):
        with pytest.raises(ExpiredCredential):
            verifier.verify(token, now=NOW + timedelta(minutes=10))
    assert checked == [token, token]


def test_only_so_many_are_remembered_the_last_asked_ones(checked: list[str]) -> None:
    verifier = _verifier(most=2)
    one, two, three = (_token(f"tab-{n}")[0] for n in range(3))
    for token in (one, two, one, three, one, three, two):
        verifier.verify(token, now=NOW)
    assert checked == [one, two, three, two]
