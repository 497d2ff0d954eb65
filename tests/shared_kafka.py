"""One broker for all tests of a worker; a prefix gives each test topics and consumer groups of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast_embedded.broker import topics_with
from holdfast_embedded.server import KafkaServer

from holdfast_runtime.kafka import KafkaConfig
from tests.servers import new_broker

# The topics of earlier tests stay, and clients get the metadata of all of them, so a new broker starts now and then.
TESTS_A_BROKER = 25


@dataclass(frozen=True)
class Kafka:
    """A broker, and the prefix of the topics and groups that a test uses there."""

    address: str
    prefix: str = ""

    def named(self, name: str) -> str:
        """A topic or group as it is called there."""
        return self.prefix + name

    @property
    def config(self) -> KafkaConfig:
        """The configuration for the inventory service's adapters."""
        return KafkaConfig(self.address, prefix=self.prefix)

    @property
    def settings(self) -> Mapping[str, str]:
        """The environment of a process that is to use it."""
        return {"HOLDFAST_KAFKA_BROKERS": self.address, "HOLDFAST_KAFKA_PREFIX": self.prefix}


class SharedBroker:
    """The broker, with its data below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tests = 0
        self._server: KafkaServer | None = None

    def for_next_test(self) -> Kafka:
        """Return new and empty topics."""
        prefix = f"test-{self._tests}."
        if self._server is None or self._tests % TESTS_A_BROKER == 0:
            self.stop()
            self._server = new_broker(self._folder / prefix, prefix=prefix)
            self._server.start()
        else:
            self._server.create_topics(*topics_with(prefix))
        self._tests += 1
        return Kafka(self._server.address, prefix)

    def stop(self) -> None:
        """Kill it; its records are not needed any more."""
        if self._server is not None:
            self._server.kill()
