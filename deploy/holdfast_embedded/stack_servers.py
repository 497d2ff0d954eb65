"""The servers that a stack uses, embedded or external: their addresses, and the environment of Holdfast's programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from holdfast_embedded.ports import free_port
from holdfast_embedded.server import Server
from holdfast_embedded.server_factories import ServerFactories

# Each variable gives the address of an external server, and the stack starts none of this name then.
EMBEDDED_SERVERS = {
    "HOLDFAST_REDIS_URL": "valkey",
    "HOLDFAST_POSTGRES_DSN": "postgres",
    "HOLDFAST_KAFKA_BROKERS": "broker",
}


class Addresses(NamedTuple):
    """The addresses of the servers, and the one that the service listens on."""

    redis_url: str
    postgres_dsn: str
    kafka_brokers: str
    listen: str


class StackServers:
    """The servers of one stack; `embedded` are those that the stack starts itself, by name, in their starting order."""

    def __init__(
        self, data_dir: Path, environment: Mapping[str, str], listen: str, shards: int, factories: ServerFactories
    ) -> None:
        self.listen = resolve_port(listen)
        self._environment = dict(environment)
        self._shards = shards
        self._factories = factories
        self.embedded = self._create_embedded(data_dir)

    @property
    def has_external(self) -> bool:
        """Whether the environment gives the address of any server."""
        return len(self.embedded) < len(EMBEDDED_SERVERS)

    @property
    def addresses(self) -> Addresses:
        """All present addresses; the embedded broker's changes with each of its starts."""
        return Addresses(
            self._address("HOLDFAST_REDIS_URL"),
            self._address("HOLDFAST_POSTGRES_DSN"),
            self._address("HOLDFAST_KAFKA_BROKERS"),
            self.listen,
        )

    @property
    def embedded_addresses(self) -> dict[str, str]:
        """The variables that lead another program to the embedded servers, with their values."""
        return {
            variable: self._address(variable) for variable, name in EMBEDDED_SERVERS.items() if name in self.embedded
        }

    def program_environment(self) -> dict[str, str]:
        """Return the environment of Holdfast's programs; the user's variables override the stack's defaults."""
        broker_settings = self._factories.broker_settings if "broker" in self.embedded else {}
        addresses = self.addresses
        return {
            "HOLDFAST_START_WAIT_S": "0",  # servers and programs start and restart in any order
            **broker_settings,
            **self._environment,
            "HOLDFAST_SHARDS": str(self._shards),
            "HOLDFAST_REDIS_URL": addresses.redis_url,
            "HOLDFAST_POSTGRES_DSN": addresses.postgres_dsn,
            "HOLDFAST_KAFKA_BROKERS": addresses.kafka_brokers,
            "HOLDFAST_LISTEN": addresses.listen,
        }

    def _create_embedded(self, data_dir: Path) -> dict[str, Server]:
        """Create a server for every address that the environment does not give."""
        factories: dict[str, Callable[[Path], Server]] = {
            "valkey": self._factories.valkey,
            "postgres": self._factories.postgres,
            "broker": lambda folder: self._factories.broker(
                folder, self._shards, self._environment.get("HOLDFAST_KAFKA_PREFIX", "")
            ),
        }
        names = [name for variable, name in EMBEDDED_SERVERS.items() if variable not in self._environment]
        return {name: factories[name](data_dir / name) for name in names}

    def _address(self, variable: str) -> str:
        server = self.embedded.get(EMBEDDED_SERVERS[variable])
        return server.address if server else self._environment[variable]


def resolve_port(address: str) -> str:
    """Choose a port now in the place of port 0, so that it stays the same when the service is restarted."""
    host, _, port = address.rpartition(":")
    return f"{host}:{free_port()}" if port == "0" else address
