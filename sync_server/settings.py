"""Every setting, typed, checked once at boot.

Settings come from the environment, under the names of the platform's documentation. A wrong or unsafe one is
refused at boot with a sentence that says which, why and what to do; all problems are told at once.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from sync_server.redcap.site_configs import SiteConfig, read_site_configs

# Refused in production, below. Long enough for every algorithm.
DEVELOPMENT_JWT_SECRET = "development-only-never-in-production-" * 2

LOOPBACK = ("127.0.0.1", "::1", "localhost")

SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""What RFC 7518 asks of an HMAC key."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Port = Annotated[int, Meta(ge=1, le=65535)]


class SettingsError(Exception):
    """The settings are wrong; the message lists each problem on a line of its own."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="upper"):
    """What a process is told from outside. Each field's text is its documentation (docs/OPERATIONS.md)."""

    database_url: str
    """Postgres, as `postgresql://user:password@host:port/database`; the application's role, not the owner's.
    """
    redis_url: str
    """Redis or Valkey, as `redis://…`, `rediss://…` or `unix://…`."""
    data_dir: Path
    """Directory of the embedded store's files and of the key that signs device credentials."""
    environment: Literal["development", "test", "production"] = "development"
    """`production` refuses unsafe settings."""
    debug: bool = False
    """Errors answer with their traceback. Refused in production."""
    log_level: LogLevel = "INFO"
    """Least severe level that is logged."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8000
    """Port to listen on."""
    tls_cert: Path | None = None
    """Certificate with its chain (PEM) to serve HTTPS with; with `TLS_KEY`. Renewed files are taken up."""
    tls_key: Path | None = None
    """Its key (PEM), without a passphrase."""
    site_ca: bool = False
    """Serve HTTPS with a certificate of an authority that this data directory makes for itself."""
    local_port: Port | None = None
    """With TLS: port on 127.0.0.1 where this machine's own processes ask without it. Unset: `PORT` + 1."""
    couchdb_url: str | None = None
    """An Apache CouchDB that holds the site databases. Unset: the embedded store does."""
    couchdb_admin_url: str | None = None
    """The same CouchDB with a server admin's login, for `provision` and erasures; the service needs none."""
    couchdb_q: Annotated[int, Meta(ge=1, le=256)] | None = None
    """Shards of a new site database. Unset: CouchDB's default."""
    couchdb_n: Annotated[int, Meta(ge=1, le=16)] | None = None
    """Copies of each shard in a cluster. Unset: CouchDB's default."""
    couchdb_validation: bool = True
    """Site databases check with a function of their own that nobody writes what the policy forbids."""
    couchdb_direct: bool = False
    """CouchDB admits tablets itself, by their tokens, beside the gateway."""
    store_url: str | None = None
    """Where the projector finds the site databases; unset: `COUCHDB_URL`, or this machine's own service."""
    jwt_secret_key: str = DEVELOPMENT_JWT_SECRET
    """Signs people's access tokens; 32 characters or more in production."""
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    """Algorithm of people's access tokens. Device credentials are always ES256."""
    access_token_expire_minutes: Annotated[int, Meta(ge=1, le=60 * 24)] = 30
    """Life of an access token, minutes."""
    refresh_token_expire_days: Annotated[int, Meta(ge=1, le=365)] = 30
    """Days after which a login that was not refreshed is over."""
    portal_idle_minutes: Annotated[int, Meta(ge=5, le=60 * 24 * 30)] = 240
    portal_live_seconds: Annotated[int, Meta(ge=1, le=15)] = 5
    """Minutes without a look at a page after which the portal asks to sign in again."""
    session_storage_backend: Literal["memory", "redis"] = "memory"
    """Where ended logins are kept beside Postgres: `memory` for one process, `redis` for several."""
    smtp_url: str | None = None
    """Mail server, as `smtp://`, `smtps://` or `smtp+starttls://user:password@host:port`. Unset: no mails."""
    mail_from: str | None = None
    """Address that mails come from."""
    allowed_origins: tuple[str, ...] = ()
    """Origins (comma-separated) whose pages may call the API and sync from a browser; `*` for any."""
    request_memory_mb: Annotated[int, Meta(ge=16, le=1024 * 1024)] = 256
    """Megabytes of request bodies in memory at once; writing them takes about three times as much on top."""
    data_encryption_keys: tuple[str, ...] = ()
    """Keys (comma-separated) that seal contacts and secrets in Postgres: the first seals, all open. Unset:
    one in `DATA_DIR`, which all machines must share.
    """
    rate_limit_per_minute: Annotated[int, Meta(ge=1)] = 60
    """Requests of `/api` that a person, or an address without a token, may make in any minute."""
    auth_rate_limit_per_minute: Annotated[int, Meta(ge=1)] = 10
    """The same for `/api/auth`: attempts to log in."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (comma-separated) of proxies whose `X-Forwarded-For` says who calls."""
    public_url: str | None = None
    """How people and tablets reach the service, as in links and QR codes; unset: `HOST` and `PORT`."""
    device_requests_per_minute: Annotated[int, Meta(ge=60, le=1_000_000)] = 3000
    """Requests a minute of one device under `/db`; it may save up two minutes, beyond that it is slowed."""
    device_megabytes_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 600
    """Megabytes a minute of one device's request bodies, likewise."""
    reconcile_interval_minutes: Annotated[int, Meta(ge=0, le=60 * 24 * 7)] = 60
    """Minutes between proofs of a site by the projector; 0: it makes none."""
    reconcile_full_hours: Annotated[int, Meta(ge=1, le=24 * 365)] = 24
    """Hours between full proofs of a site; the others compare what changed since the last one."""
    outbox_lease_seconds: Annotated[int, Meta(ge=2, le=3600)] = 60
    """Seconds after which what a killed worker was at is done by another."""
    outbox_keep_days: Annotated[int, Meta(ge=1, le=3650)] = 30
    """Days that entries of the outbox are kept after they were done."""
    replication_stuck_minutes: Annotated[int, Meta(ge=1, le=60 * 24 * 30)] = 15
    """Minutes after which a replication job that crashes or does nothing is stuck."""
    research_statement_seconds: Annotated[int, Meta(ge=1, le=3600)] = 20
    """Seconds after which a question of `/api/research` is given up."""
    webhook_private_addresses: bool = False
    """Webhooks may point into private networks in production too."""
    redcap_requests_per_minute: Annotated[int, Meta(ge=1, le=600)] = 60
    """Requests a minute to one REDCap server, of all workers together. REDCap bans addresses beyond 600."""
    redcap_private_addresses: bool = False
    """REDCap may be in a private network in production too."""
    redcap_pull_minutes: Annotated[int, Meta(ge=0, le=60 * 24 * 7)] = 15
    """Minutes between pulls of participants from a REDCap project; 0: only when somebody asks."""
    research_files_dir: Path | None = None
    """Folder of exports and reports, shared by API and workers. Unset: `research_files` in `DATA_DIR`."""
    research_files_keep_days: Annotated[int, Meta(ge=1, le=365)] = 7
    """Days that an export or report may be downloaded."""
    research_statement_minutes: Annotated[int, Meta(ge=1, le=60 * 24)] = 15
    """Minutes after which a statement of a researcher's login is cancelled."""
    research_idle_minutes: Annotated[int, Meta(ge=1, le=60 * 4)] = 15
    """Minutes after which such a login that leaves a transaction idle is disconnected."""
    research_transaction_minutes: Annotated[int, Meta(ge=1, le=60 * 24)] = 120
    """Minutes after which such a login is disconnected whose transaction is still open."""
    site_configs: Mapping[str, SiteConfig] = {}
    """REDCap connections of sites, as JSON: `{"<site>": {"redcap_url": "https://…/api/", "token": "…"}}`."""
    admin_email: str | None = None
    """With `ADMIN_PASSWORD`: the first admin, created at boot while there is none."""
    admin_password: str | None = None
    """The first admin's password, 12 characters or more."""

    @property
    def has_tls(self) -> bool:
        """Whether the service itself speaks TLS."""
        return self.site_ca or self.tls_cert is not None

    @property
    def plain_port(self) -> int:
        """Where this machine's own processes reach the service without TLS."""
        return self.local_port or self.port + 1

    @property
    def base_url(self) -> str:
        """How the service is reached from outside, without a trailing slash."""
        own = own_base_url(self.host, self.port, scheme="https" if self.has_tls else "http")
        return (self.public_url or own).rstrip("/")

    @property
    def local_url(self) -> str:
        """How this machine's own processes reach the service, without a trailing slash."""
        if self.has_tls:
            return own_base_url("127.0.0.1", self.plain_port)
        return own_base_url(self.host, self.port)

    @property
    def feed_url(self) -> str:
        """Base URL under which `/<database>` answers the CouchDB HTTP API."""
        return (self.store_url or self.couchdb_url or f"{self.local_url}/db").rstrip("/")

    @property
    def files_folder(self) -> Path:
        """Where exports and reports lie."""
        return self.research_files_dir or self.data_dir / "research_files"

    @property
    def purging_url(self) -> str:
        """The same for erasures: Apache CouchDB lets only server admins purge."""
        in_couchdb = self.couchdb_url is not None and self.store_url is None
        return (self.couchdb_admin_url if in_couchdb else None) or self.feed_url


def own_base_url(host: str, port: int, *, scheme: str = "http") -> str:
    """How a service that listens on `host` is reached from its own machine, without a trailing slash."""
    # The addresses that stand for all others can be listened on and not be called.
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
    return f"{scheme}://[{reached}]:{port}" if ":" in reached else f"{scheme}://{reached}:{port}"


SETTING_NAMES: tuple[str, ...] = tuple(name.upper() for name in Settings.__struct_fields__)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from environment variables; variables of other names are ignored, empty ones count as unset.

    Raises SettingsError that names every problem found.
    """
    given: dict[str, object] = {name: environ[name] for name in SETTING_NAMES if environ.get(name)}
    if "LOG_LEVEL" in given:
        given["LOG_LEVEL"] = environ["LOG_LEVEL"].upper()
    configs, wrong_configs = read_site_configs(environ.get("SITE_CONFIGS", ""))
    given.pop("SITE_CONFIGS", None)
    if not wrong_configs:
        given["SITE_CONFIGS"] = {site: msgspec.structs.asdict(config) for site, config in configs.items()}
    for name in _LISTS & given.keys():
        given[name] = [part.strip() for part in environ[name].split(",") if part.strip()]
    problems = [
        f"{name} is not set: {_PURPOSE[name]}."
        for name in ("DATABASE_URL", "REDIS_URL", "DATA_DIR")
        if name not in given
    ]
    problems += wrong_configs
    # One member at a time, so that every problem is told in one go.
    for name, value in list(given.items()):
        try:
            _convert({**_PLACEHOLDERS, name: value})
        except msgspec.ValidationError as error:
            problems.append(f"{name}={value!r} is not usable: {_sentence(name, error)}.")
            del given[name]
    settings = _convert({**_PLACEHOLDERS, **given})
    problems += [problem for problem in _unsafe(settings) if problem.split()[0] not in _names(problems)]
    if problems:
        raise SettingsError(problems)
    return settings


def _convert(given: Mapping[str, object]) -> Settings:
    return msgspec.convert(given, Settings, strict=False, dec_hook=lambda kind, value: kind(value))


_PLACEHOLDERS = {
    "DATABASE_URL": "postgresql://placeholder/placeholder",
    "REDIS_URL": "redis://placeholder",
    "DATA_DIR": ".",
}
_PURPOSE = {
    "DATABASE_URL": "give the Postgres database to project into, as postgresql://user:password@host/database",
    "REDIS_URL": "give the Redis or Valkey server, as redis://host:6379/0",
    "DATA_DIR": "give the directory that holds the store and the device signing key",
}


_LISTS = {"ALLOWED_ORIGINS", "DATA_ENCRYPTION_KEYS", "TRUSTED_PROXIES"}


def _names(problems: list[str]) -> set[str]:
    return {re.split(r"[ =]", problem, maxsplit=1)[0] for problem in problems}


def _sentence(name: str, error: msgspec.ValidationError) -> str:
    kind = get_type_hints(Settings)[name.lower()]
    choices = ("true", "false") if kind is bool else get_args(kind) if get_origin(kind) is Literal else ()
    if choices:
        return f"it is one of {', '.join(choices)}"
    return str(error).split(" - at ")[0].rstrip(".")


def _unsafe(settings: Settings) -> list[str]:
    problems = []
    if not settings.database_url.startswith(("postgresql://", "postgres://")):
        problems.append("DATABASE_URL must begin with postgresql:// (no other database is supported).")
    if not settings.redis_url.startswith(("redis://", "rediss://", "unix://")):
        problems.append("REDIS_URL must begin with redis://, rediss:// or unix://.")
    for name, url in (
        ("COUCHDB_URL", settings.couchdb_url),
        ("COUCHDB_ADMIN_URL", settings.couchdb_admin_url),
        ("STORE_URL", settings.store_url),
        ("PUBLIC_URL", settings.public_url),
    ):
        if url is not None and not url.startswith(("http://", "https://")):
            problems.append(f"{name} must begin with http:// or https://.")
    problems += [
        f"{name} is no URL: its port is not a number, or an unquoted character of a password ends it early."
        for name, url in (
            ("DATABASE_URL", settings.database_url),
            ("REDIS_URL", settings.redis_url),
            ("COUCHDB_URL", settings.couchdb_url),
            ("COUCHDB_ADMIN_URL", settings.couchdb_admin_url),
            ("STORE_URL", settings.store_url),
            ("PUBLIC_URL", settings.public_url),
        )
        if url is not None and not _is_readable(url)
    ]
    problems += [
        f"TRUSTED_PROXIES: {each!r} is neither an address nor a network, as 10.0.0.0/8."
        for each in settings.trusted_proxies
        if not _is_network(each)
    ]
    problems += _wrong_mail(settings) + _wrong_tls(settings) + _wrong_research(settings)
    if settings.couchdb_direct and not settings.couchdb_validation:
        problems.append(
            "COUCHDB_VALIDATION must be on with COUCHDB_DIRECT: without it a tablet could delete documents."
        )
    if bool(settings.admin_email) != bool(settings.admin_password):
        problems.append("ADMIN_EMAIL and ADMIN_PASSWORD go together: set both or neither.")
    if settings.admin_email and not re.fullmatch(r"[^@\s]+@[^@\s]+", settings.admin_email):
        problems.append("ADMIN_EMAIL must be an address, as name@host.")
    if settings.admin_password is not None and not 12 <= len(settings.admin_password) <= 1024:
        problems.append("ADMIN_PASSWORD must have 12 to 1024 characters.")
    needed = SECRET_BYTES[settings.jwt_algorithm]
    if len(settings.jwt_secret_key.encode()) < needed:
        problems.append(f"JWT_SECRET_KEY must have {needed} characters or more for {settings.jwt_algorithm}.")
    if settings.environment == "production":
        problems += _unsafe_in_production(settings)
    elif settings.jwt_secret_key == DEVELOPMENT_JWT_SECRET and settings.host not in LOOPBACK:
        problems.append(
            f"JWT_SECRET_KEY must be set to listen on {settings.host}: the default is in the source code, "
            "and whoever knows it is any user. `openssl rand -hex 32` makes one."
        )
    return problems


def _wrong_mail(settings: Settings) -> list[str]:
    problems = []
    url = settings.smtp_url
    if url is not None and not url.startswith(("smtp://", "smtps://", "smtp+starttls://")):
        problems.append("SMTP_URL must begin with smtp://, smtps:// or smtp+starttls://.")
    elif url is not None and not (_is_readable(url) and urlsplit(url).hostname):
        problems.append(
            "SMTP_URL is no URL: it names no host, or an unquoted character of a password ends it."
        )
    if url is not None and settings.mail_from is None:
        problems.append("MAIL_FROM must be set with SMTP_URL: the address that mails come from.")
    if settings.mail_from is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", settings.mail_from):
        problems.append("MAIL_FROM must be an address, as name@host.")
    return problems


def _wrong_research(settings: Settings) -> list[str]:
    if settings.research_transaction_minutes >= settings.research_statement_minutes:
        return []
    return ["RESEARCH_TRANSACTION_MINUTES must be RESEARCH_STATEMENT_MINUTES or more: it ends those, too."]


def _wrong_tls(settings: Settings) -> list[str]:
    problems = []
    if (settings.tls_cert is None) != (settings.tls_key is None):
        problems.append("TLS_CERT and TLS_KEY go together: set both or neither.")
    if settings.site_ca and settings.tls_cert is not None:
        problems.append("SITE_CA makes a certificate, TLS_CERT brings one: set one of the two.")
    if settings.has_tls and not (settings.plain_port <= 65535 and settings.plain_port != settings.port):
        problems.append("LOCAL_PORT must be another port than PORT, up to 65535.")
    return problems


def _is_readable(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _unsafe_in_production(settings: Settings) -> list[str]:
    problems = []
    if settings.jwt_secret_key == DEVELOPMENT_JWT_SECRET:
        problems.append("JWT_SECRET_KEY must be set in production: `openssl rand -hex 32` makes one.")
    if settings.debug:
        problems.append("DEBUG must be off in production: it shows tracebacks to callers.")
    if "*" in settings.allowed_origins:
        problems.append("ALLOWED_ORIGINS must name the origins in production, not `*`.")
    return problems
