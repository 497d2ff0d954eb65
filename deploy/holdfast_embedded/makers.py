"""What makes the servers of a stack: the embedded ones, unless somebody puts others in their place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast_embedded.broker import Broker
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server import KafkaServer, Server
from holdfast_embedded.valkey import Valkey

# What fits the embedded broker: it keeps 5 MiB a partition, and nobody should wait long for a killed consumer.
EMBEDDED_BROKER_SETTINGS = {"HOLDFAST_RELAY_WINDOW_BYTES": "2097152", "HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3"}


@dataclass(frozen=True)
class Makers:
    """One maker a server, each given its data folder, and the broker's partitions and topic prefix too.

    Whatever a maker makes keeps its place's name (`valkey`, `postgres`, `broker`), by which a stack is given orders.
    """

    valkey: Callable[[Path], Server] = Valkey
    postgres: Callable[[Path], Server] = Postgres
    broker: Callable[[Path, int, str], KafkaServer] = Broker
    # What our programs are told beside the broker's address.
    broker_settings: Mapping[str, str] = field(default_factory=lambda: EMBEDDED_BROKER_SETTINGS)
