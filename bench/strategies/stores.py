"""The servers of the strategies: a Redis with its default configuration, and a PostgreSQL that syncs each commit."""

from collections.abc import Mapping
from pathlib import Path

from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server import Server
from holdfast_embedded.valkey import Valkey
from redis import Redis

from bench.strategies.catalog import POSTGRES, REDIS

# How Redis keeps its data, by name. `snapshots` is what it does without a configuration file.
PERSISTENCE: Mapping[str, Mapping[str, str]] = {
    "snapshots": {"appendonly": "no", "save": "3600 1 300 100 60 10000"},
    "everysec": {"appendonly": "yes", "appendfsync": "everysec", "save": ""},
    "always": {"appendonly": "yes", "appendfsync": "always", "save": ""},
}


class PlainRedis(Valkey):
    """One Valkey that keeps its data in one of three ways."""

    def __init__(self, data_dir: Path, persistence: str) -> None:
        super().__init__(data_dir)
        self._persistence = PERSISTENCE[persistence]

    def _settings(self) -> dict[str, str]:
        return {**super()._settings(), **self._persistence}


class Stores:
    """Both servers, running."""

    def __init__(self, folder: Path, persistence: str) -> None:
        self.redis = PlainRedis(folder / "redis", persistence)
        self.postgres = Postgres(folder / "postgres")

    @property
    def servers(self) -> Mapping[str, Server]:
        """By name."""
        return {REDIS: self.redis, POSTGRES: self.postgres}

    def start(self) -> None:
        """Start both."""
        for server in self.servers.values():
            server.start()

    def stop(self) -> None:
        """Stop both; harmless when they have not started."""
        for server in self.servers.values():
            server.stop()

    def kill(self, part: str) -> None:
        """Kill Redis with SIGKILL, or stop PostgreSQL, and keep it down."""
        server = self.servers[part]
        if part == REDIS:
            server.kill()
        else:
            server.stop()

    def restore(self, part: str) -> None:
        """Start the server that is down, on its data."""
        self.servers[part].start()

    def save(self) -> None:
        """Write the snapshot that a Redis with snapshots has from the hours before a sale."""
        with Redis.from_url(self.redis.address) as client:
            client.save()
