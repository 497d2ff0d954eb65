"""A cluster of several Apache Kafkas, whose nodes can be killed and restarted one by one."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from holdfast_embedded.process import wait_until
from holdfast_embedded.server import ServerFailed

from tests.real.apache_kafka import PLAINTEXT_LISTENER, ApacheKafka, Listener, Ports
from tests.real.kafka_admin import KafkaAdmin

NODES = 3
START_S = 120.0  # three Java processes at once, on a busy machine


class KafkaCluster:
    """Brokers by node id from 1, each also a controller. The cluster has no topics until `holdfast topics` runs."""

    def __init__(
        self,
        data_dir: Path,
        nodes: int = NODES,
        listener: Listener = PLAINTEXT_LISTENER,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        voters = {node: Ports() for node in range(1, nodes + 1)}
        self.brokers = {
            node: ApacheKafka(
                data_dir / f"broker-{node}",
                listener=listener,
                settings=settings,
                topics=(),
                node=node,
                voters=voters,
                name=f"broker-{node}",
            )
            for node in voters
        }
        # One thread starts every broker, for the kernel ends a broker together with the thread that started it.
        self._starter = ThreadPoolExecutor(max_workers=1)

    @property
    def address(self) -> str:
        """The bootstrap addresses of all brokers, comma-separated."""
        return ",".join(broker.address for broker in self.brokers.values())

    @cached_property
    def admin(self) -> KafkaAdmin:
        """An AdminClient that may use any node of the cluster."""
        return KafkaAdmin(",".join(broker.inner_address for broker in self.brokers.values()))

    def start(self) -> None:
        """Start every broker, then wait for all: none answers before most run. ServerFailed if one does not join."""
        for broker in self.brokers.values():
            self._starter.submit(broker.start_without_waiting).result()
        for broker in self.brokers.values():
            if not wait_until(broker.has_joined, START_S):
                self.end()
                raise ServerFailed(f"{broker.name} did not join its cluster within {START_S:g} s.\n{broker.log_tail()}")

    def start_again(self, node: int) -> None:
        """Restart a broker with its records and its address. May be called from any thread."""
        self._starter.submit(self.brokers[node].start, START_S).result()

    def end(self) -> None:
        """Kill every broker: the last ones to stop in order would wait for others to take over their partitions."""
        for broker in self.brokers.values():
            broker.kill()
        self._starter.shutdown()
