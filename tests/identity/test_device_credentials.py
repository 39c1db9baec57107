"""Device credentials: valid offline for months, and nothing else passes for one."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sync_server.identity.device_credentials import (
    CredentialVerifier,
    DeviceCredential,
    ExpiredCredential,
    ForeignCredential,
    InvalidCredential,
    SigningKey,
    WrongKey,
    extract_token,
    mint_service_token,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = SigningKey.generate()
TABLET = DeviceCredential(device="lima-tab-2", site="lima", role="tablet", id="c1")
TOKEN = KEY.sign(TABLET, now=NOW)


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, object]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def resign(changes: dict[str, object]) -> str:
    """The tablet's token with changed claims (None = left out), validly signed."""
    private_key = serialization.load_pem_private_key(KEY.private_pem, None)
    assert isinstance(private_key, ec.EllipticCurvePrivateKey)
    claims = {name: value for name, value in {**claims_of(TOKEN), **changes}.items() if value is not None}
    signed = f"{segment({'alg': 'ES256', 'kid': KEY.verifier.key_id})}.{segment(claims)}"
    signature = jwt.get_algorithm_by_name("ES256").sign(signed.encode(), private_key)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_signed_token_carries_the_credential() -> None:
    assert KEY.verifier.verify(TOKEN, now=NOW) == TABLET


def test_a_devices_token_tells_couchdb_its_roles_and_a_services_none() -> None:
    assert claims_of(TOKEN)["_couchdb.roles"] == [
        f"metricis:{TABLET.role}",
        f"metricis:credential:{TABLET.id}",
    ]
    # Those of before told none, and are valid all the same.
    assert KEY.verifier.verify(resign({"_couchdb.roles": None}), now=NOW) == TABLET
    # CouchDB in direct mode looks at no `exp`: a service would be let in for ever.
    service = mint_service_token(KEY, service="api", now=NOW, credential_id="s")
    assert "_couchdb.roles" not in claims_of(service)


def test_verifier_needs_the_public_key_only() -> None:
    assert b"PRIVATE" not in KEY.verifier.public_pem
    verifier = CredentialVerifier.from_pem(KEY.verifier.public_pem)
    assert verifier.verify(TOKEN, now=NOW) == TABLET
    assert verifier.key_id == KEY.verifier.key_id


def test_key_reads_back_from_its_pem() -> None:
    again = SigningKey.from_pem(KEY.private_pem)
    assert again.verifier.verify(TOKEN, now=NOW) == TABLET


def test_tablet_token_has_no_expiry_and_names_its_key() -> None:
    assert set(claims_of(TOKEN)) == {"iss", "sub", "site", "role", "jti", "iat", "_couchdb.roles"}
    assert jwt.get_unverified_header(TOKEN)["kid"] == KEY.verifier.key_id
    assert KEY.verifier.verify(TOKEN, now=NOW + timedelta(days=3650)) == TABLET


def test_token_issued_in_the_future_is_valid_because_clocks_get_set_back() -> None:
    assert KEY.verifier.verify(TOKEN, now=NOW - timedelta(days=30)) == TABLET


def test_key_id_is_the_thumbprint_of_the_jwk() -> None:
    numbers = serialization.load_pem_public_key(KEY.verifier.public_pem)
    assert isinstance(numbers, ec.EllipticCurvePublicKey)
    jwk = json.loads(jwt.get_algorithm_by_name("ES256").to_jwk(numbers))
    canonical = json.dumps({n: jwk[n] for n in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    assert KEY.verifier.key_id == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def test_service_token_opens_every_site_and_expires() -> None:
    token = mint_service_token(KEY, service="projector", now=NOW, credential_id="s1")
    credential = KEY.verifier.verify(token, now=NOW + timedelta(minutes=9))
    assert credential == DeviceCredential(device="projector", site=None, role="service", id="s1")
    assert credential.opens("site-lima")
    assert credential.opens("site-quito")
    with pytest.raises(ExpiredCredential):
        KEY.verifier.verify(token, now=NOW + timedelta(minutes=10))


def test_service_token_without_expiry_is_invalid() -> None:
    service = DeviceCredential(device="projector", site=None, role="service", id="s1")
    with pytest.raises(InvalidCredential):
        KEY.verifier.verify(KEY.sign(service, now=NOW), now=NOW)


@pytest.mark.parametrize(
    ("database", "opened"),
    [("site-lima", True), ("site-quito", False), ("lima", False), ("_users", False), ("site-", False)],
)
def test_tablet_opens_its_own_site_database_only(database: str, opened: bool) -> None:
    assert TABLET.opens(database) is opened


def test_token_of_another_key_is_foreign() -> None:
    with pytest.raises(ForeignCredential):
        KEY.verifier.verify(SigningKey.generate().sign(TABLET, now=NOW), now=NOW)


def test_token_of_another_key_that_claims_ours_is_invalid() -> None:
    private_key = ec.generate_private_key(ec.SECP256R1())
    forged = jwt.encode(
        claims_of(TOKEN), private_key, algorithm="ES256", headers={"kid": KEY.verifier.key_id}
    )
    with pytest.raises(InvalidCredential):
        KEY.verifier.verify(forged, now=NOW)


def test_unsigned_token_is_invalid() -> None:
    forged = jwt.encode(claims_of(TOKEN), "", algorithm="none", headers={"kid": KEY.verifier.key_id})
    with pytest.raises(InvalidCredential):
        KEY.verifier.verify(forged, now=NOW)


def test_token_signed_hs256_with_the_public_key_is_invalid() -> None:
    header = segment({"alg": "HS256", "typ": "JWT", "kid": KEY.verifier.key_id})
    signed = f"{header}.{TOKEN.split('.')[1]}"
    signature = hmac.digest(KEY.verifier.public_pem, signed.encode(), "sha256")
    forged = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    with pytest.raises(InvalidCredential):
        KEY.verifier.verify(forged, now=NOW)


def test_changed_claims_under_the_old_signature_are_invalid() -> None:
    header, _, signature = TOKEN.split(".")
    forged = f"{header}.{segment({**claims_of(TOKEN), 'site': 'quito'})}.{signature}"
    with pytest.raises(InvalidCredential):
        KEY.verifier.verify(forged, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "someone-else"},
        {"iss": None},
        {"sub": None},
        {"sub": 5},
        {"site": None},
        {"site": ["lima"]},
        {"role": "admin"},
        {"role": "service"},
        {"jti": None},
        {"iat": None},
        {"exp": "never"},
        {"aud": "api"},
    ],
    ids=str,
)
def test_validly_signed_token_with_other_claims_is_invalid(changes: dict[str, object]) -> None:
    assert KEY.verifier.verify(resign({}), now=NOW) == TABLET
    with pytest.raises(InvalidCredential):
        KEY.verifier.verify(resign(changes), now=NOW)


def test_tablet_token_with_an_expiry_expires() -> None:
    token = KEY.sign(TABLET, now=NOW, lifetime=timedelta(days=1))
    assert KEY.verifier.verify(token, now=NOW + timedelta(hours=23)) == TABLET
    with pytest.raises(ExpiredCredential):
        KEY.verifier.verify(token, now=NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "header",
    ["[" * 5000, "[]", '{"alg":[]}', '{"kid":[],"alg":"ES256"}', '{"kid":null,"alg":null}', "", "\x00"],
)
def test_hostile_header_is_no_crash(header: str) -> None:
    encoded = base64.urlsafe_b64encode(header.encode()).rstrip(b"=").decode()
    for token in (f"{encoded}.e30.AA", f"{encoded}..", encoded):
        with pytest.raises((InvalidCredential, ForeignCredential)):
            KEY.verifier.verify(token, now=NOW)
        basic = base64.b64encode(f"lima-tab-2:{token}".encode()).decode()
        assert extract_token(f"Basic {basic}") is None


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-384", "RSA"],
)
def test_keys_of_another_kind_are_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    with pytest.raises(WrongKey):
        SigningKey.from_pem(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    with pytest.raises(WrongKey):
        SigningKey.from_pem(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"x" * 12)))
    with pytest.raises(WrongKey):
        CredentialVerifier.from_pem(
            key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
        )


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        (f"Bearer {TOKEN}", TOKEN),
        (f"bearer   {TOKEN} ", TOKEN),
        (f"Token {TOKEN}", None),
        (basic("lima-tab-2", TOKEN), TOKEN),
        (basic("lima-tab-2", TOKEN).replace("Basic", "BASIC"), TOKEN),
        (basic("lima-tab-3", TOKEN), None),
        (basic("", TOKEN), None),
        (basic("lima-tab-2", ""), None),
        (basic("lima-tab-2", "a password"), None),
        ("Basic !!!!", None),
        ("Basic bGltYQ==", None),
        ("Basic /////w==", None),
        ("Bearer \udcff", None),
    ],
    # Not the values: the key is another in every process, and parallel runs need the same names in each.
    ids=[
        "none",
        "empty",
        "bearer_alone",
        "bearer_and_space",
        "bearer",
        "lower_case_bearer",
        "other_scheme",
        "basic",
        "upper_case_basic",
        "other_device",
        "no_user",
        "no_password",
        "a_password",
        "not_base64",
        "no_colon",
        "not_utf8",
        "lone_surrogate",
    ],
)
def test_authorization_header_gives_the_token_of_its_device(header: str | None, token: str | None) -> None:
    assert extract_token(header) == token
