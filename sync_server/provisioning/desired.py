"""What a CouchDB shall be like, from the settings, the open sites, and the credentials in force.

Limits are those of the gateway and of the documents' contract: 64 MB a document and an attachment, 256 MB a
request.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from sync_server.identity.access_tokens import ISSUER
from sync_server.identity.couch_roles import ROLES_CLAIM
from sync_server.identity.device_credentials import CredentialVerifier
from sync_server.provisioning.design import SiteDesign
from sync_server.settings import Settings

MB: Final = 1024 * 1024

JWT_HANDLER: Final = "{chttpd_auth, jwt_authentication_handler}"
USUAL_HANDLERS: Final = (
    "{chttpd_auth, cookie_authentication_handler}, {chttpd_auth, default_authentication_handler}"
)
"""What CouchDB 3 does where nothing is set."""

ConfigKey = tuple[str, str]
"""Section and key of a node's configuration."""


class Wanted(NamedTuple):
    """A value of a node's configuration; None: it shall not be set. `includes`: found somewhere in the value
    is enough, and what else is there stays.
    """

    value: str | None
    why: str
    includes: bool = False
    otherwise: str = ""
    """With `includes`: what the value goes on with where none is set."""


class ServiceUser(NamedTuple):
    """The login of `COUCHDB_URL`."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"ServiceUser({self.name!r})"


class Desired(NamedTuple):
    """All of it. `sites`: ids of the credentials that CouchDB itself admits, by site."""

    service: ServiceUser
    design: SiteDesign
    sites: Mapping[str, frozenset[str]]
    direct: bool
    key_id: str
    public_pem: str
    retired_keys: frozenset[str] = frozenset()
    chosen: bool = False
    """Only some of the sites are meant."""


class NoLogin(ValueError):
    """A URL has no user and password."""


def login_of(url: str) -> tuple[str, str]:
    """User and password of a URL. Raises NoLogin."""
    parts = urlsplit(url)
    if not parts.username or not parts.password:
        raise NoLogin
    return unquote(parts.username), unquote(parts.password)


def desired_state(
    settings: Settings,
    credentials: Mapping[str, Collection[str]],
    verifier: CredentialVerifier,
    *,
    retired_keys: Collection[str] = (),
    chosen: bool = False,
) -> Desired:
    """`credentials` has every open site that is meant, with the ids in force. Raises NoLogin for
    `COUCHDB_URL`.
    """
    name, password = login_of(settings.couchdb_url or "")
    direct = settings.couchdb_direct
    return Desired(
        service=ServiceUser(name, password),
        design=SiteDesign(settings.couchdb_q, settings.couchdb_n, settings.couchdb_validation),
        sites={site: frozenset(ids if direct else ()) for site, ids in credentials.items()},
        direct=direct,
        key_id=verifier.key_id,
        public_pem=verifier.public_pem.decode(),
        retired_keys=frozenset(retired_keys),
        chosen=chosen,
    )


def configuration(desired: Desired, *, service_is_admin: bool = False) -> dict[ConfigKey, Wanted]:
    """What each node's configuration shall say, in the order in which it is set."""
    wanted = {
        ("couchdb", "max_document_size"): Wanted(str(64 * MB), "a document may have 64 MB"),
        ("couchdb", "max_attachment_size"): Wanted(str(64 * MB), "an attachment may have 64 MB"),
        ("chttpd", "max_http_request_size"): Wanted(str(256 * MB), "a request may have 256 MB"),
        # Before the next: nobody without a login may list databases, not for a moment.
        ("chttpd", "require_valid_user_except_for_up"): Wanted(
            "true", "nobody without a login is to see the names of databases"
        ),
    }
    if not service_is_admin:
        wanted["chttpd", "admin_only_all_dbs"] = Wanted(
            "false", "the service is no admin and lists site databases"
        )
    for key_id in sorted(desired.retired_keys):
        wanted["jwt_keys", f"ec:{key_id}"] = Wanted(None, "retired: its tokens are not admitted any more")
    own_key = ("jwt_keys", f"ec:{desired.key_id}")
    if not desired.direct:
        return wanted | {own_key: Wanted(None, "direct mode is off: tokens are admitted by the gateway only")}
    pem = desired.public_pem.strip().replace("\n", "\\n") + "\\n"
    return wanted | {
        ("jwt_auth", "required_claims"): Wanted(
            f'{{iss, "{ISSUER}"}}', "devices' tokens never expire; they say who issued them"
        ),
        ("jwt_auth", "roles_claim_path"): Wanted(None, "it would hide `roles_claim_name`"),
        ("jwt_auth", "roles_claim_name"): Wanted(ROLES_CLAIM, "the claim with a device's roles"),
        own_key: Wanted(pem, "the key that devices' tokens are signed with"),
        # Last: until here no token is looked at.
        ("chttpd", "authentication_handlers"): Wanted(
            JWT_HANDLER, "CouchDB is to look at devices' tokens", includes=True, otherwise=USUAL_HANDLERS
        ),
    }


DIRECT_MODE_HAS_NOT: Final = (
    "Direct mode: every admitted tablet can READ EVERYTHING in its site's database, sessions and consents of "
    "all participants included: CouchDB cannot restrict reads to some documents.",
    "Direct mode: what tablets write past the gateway is in no ingest log, is not normalised, and is under "
    "no limit of requests; a revoked device is let in until the next `sync-server provision`.",
)
