"""Which class makes each server of a stack: the embedded ones by default, real servers in tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast_embedded.broker import Broker
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server import KafkaServer, Server
from holdfast_embedded.valkey import Valkey

# The embedded broker keeps 5 MiB a partition, and a killed consumer should be replaced within seconds.
EMBEDDED_BROKER_SETTINGS = {"HOLDFAST_RELAY_WINDOW_BYTES": "2097152", "HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3"}


@dataclass(frozen=True)
class ServerFactories:
    """One factory a server, called with its data folder; the broker's also gets the partitions and the topics' prefix.

    The `name` of a server that a factory makes is its field here (`valkey`, `postgres`, `broker`): the stack's methods
    find it by that name.
    """

    valkey: Callable[[Path], Server] = Valkey
    postgres: Callable[[Path], Server] = Postgres
    broker: Callable[[Path, int, str], KafkaServer] = Broker
    # Settings of Holdfast's programs that fit this broker.
    broker_settings: Mapping[str, str] = field(default_factory=lambda: EMBEDDED_BROKER_SETTINGS)
