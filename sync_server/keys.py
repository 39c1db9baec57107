"""Resources of the running application, under typed keys."""

from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from replication.client import CouchClient
from replication.replicator.replicator import Replicator
from replication.upstream.exchange import Upstream
from sync_server.api.seams import CorrectionWriter, LeafLookup, StoreProbe
from sync_server.gateway.activity import Activity
from sync_server.gateway.erased import ErasedFingerprints
from sync_server.gateway.open_requests import OpenRequests
from sync_server.gateway.pace import Paces
from sync_server.identity.device_credentials import CredentialVerifier, SigningKey
from sync_server.identity.ended_logins import EndedLogins
from sync_server.identity.revocations import KnownCredentials
from sync_server.limits.questions import Questions
from sync_server.limits.window import Limiter
from sync_server.sealing import Sealer
from sync_server.settings import Settings
from sync_server.traffic import Traffic

SETTINGS = web.AppKey("settings", Settings)
ENGINE = web.AppKey("engine", AsyncEngine)
REDIS = web.AppKey("redis", Redis)
LIMITER = web.AppKey("limiter", Limiter)
QUESTIONS = web.AppKey("questions", Questions)
VERIFIER = web.AppKey("verifier", CredentialVerifier)
KNOWN_CREDENTIALS = web.AppKey("known_credentials", KnownCredentials)
ENDED_LOGINS = web.AppKey("ended_logins", EndedLogins)
ERASED = web.AppKey("erased", ErasedFingerprints)
REPLICATOR = web.AppKey("replicator", Replicator)
UPSTREAM = web.AppKey("upstream", Upstream)
"""The store at `COUCHDB_URL`."""
SEALER = web.AppKey("sealer", Sealer)
SITE_DATABASES = web.AppKey("site_databases", CouchClient)
"""The site databases, with the service's own credential: everything may be done."""
ACTIVITY = web.AppKey("activity", Activity)
OPEN_REQUESTS = web.AppKey("open_requests", OpenRequests)
PACES = web.AppKey("paces", Paces)
TRAFFIC = web.AppKey("traffic", Traffic)
SIGNING_KEY = web.AppKey("signing_key", SigningKey)
CA_FINGERPRINT = web.AppKey("ca_fingerprint", str)
"""Of the site's own authority; absent where there is none."""
LEAF_LOOKUP: web.AppKey[LeafLookup] = web.AppKey("leaf_lookup")
CORRECTION_WRITER: web.AppKey[CorrectionWriter] = web.AppKey("correction_writer")
STORE_PROBE: web.AppKey[StoreProbe] = web.AppKey("store_probe")
