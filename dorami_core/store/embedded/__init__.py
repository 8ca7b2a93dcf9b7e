"""PostgreSQL and Redis as children of this process, on unix sockets inside the data directory."""

from dorami_core.store.embedded.postgres import embedded_postgres, start_postgres
from dorami_core.store.embedded.process import EmbeddedServerError, RunningServer
from dorami_core.store.embedded.redis import embedded_redis, start_redis

__all__ = [
    "EmbeddedServerError",
    "RunningServer",
    "embedded_postgres",
    "embedded_redis",
    "start_postgres",
    "start_redis",
]
