"""The process that carries what is to be done outside Postgres to the workers."""

import signal
import threading
from datetime import timedelta

import redis
import structlog

from reporting.engine import sync_engine
from sync_server.jobs.duties import duties
from sync_server.jobs.queues import RedisQueues
from sync_server.jobs.relay import Relay
from sync_server.settings import Settings

log = structlog.get_logger()


def run_relay(settings: Settings) -> None:
    """Relay until SIGTERM or SIGINT. What is then being claimed is carried, or given back."""
    stop = threading.Event()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: stop.set())
    engine = sync_engine(settings.database_url, application_name="metricis-relay")
    connection = redis.Redis.from_url(settings.redis_url)
    queues = RedisQueues(connection, lease_seconds=settings.outbox_lease_seconds)
    lease = timedelta(seconds=settings.outbox_lease_seconds)
    try:
        log.info("relaying")
        Relay(engine, queues, lease=lease, duties=duties(settings)).run(stop, settings.database_url)
    finally:
        queues.close()
        engine.dispose()
