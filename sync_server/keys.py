"""Resources of the running application, under typed keys."""

from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from sync_server.api.seams import LeafLookup, StoreProbe
from sync_server.identity.device_credentials import CredentialVerifier
from sync_server.identity.revocations import KnownCredentials
from sync_server.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
ENGINE = web.AppKey("engine", AsyncEngine)
REDIS = web.AppKey("redis", Redis)
VERIFIER = web.AppKey("verifier", CredentialVerifier)
KNOWN_CREDENTIALS = web.AppKey("known_credentials", KnownCredentials)
LEAF_LOOKUP: web.AppKey[LeafLookup] = web.AppKey("leaf_lookup")
STORE_PROBE: web.AppKey[StoreProbe] = web.AppKey("store_probe")
