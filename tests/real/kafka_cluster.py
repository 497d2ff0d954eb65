"""Several Apache Kafkas that are one cluster, whose nodes can be killed and started one by one."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from holdfast_embedded.child import wait_until
from holdfast_embedded.server import ServerFailed

from tests.real.apache_kafka import PLAINTEXT_LISTENER, ApacheKafka, Listener, Ports
from tests.real.kafka_admin import KafkaAdmin

NODES = 3
START_S = 120.0  # three of them at once, on two cores that do much else


class KafkaCluster:
    """Brokers by node id from 1, each also a voter for the controller. It makes no topics: `holdfast topics` does."""

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
        self._starter = ThreadPoolExecutor(max_workers=1)  # its thread lives as long as the brokers should

    @property
    def address(self) -> str:
        """The bootstrap addresses of all brokers, comma-separated."""
        return ",".join(broker.address for broker in self.brokers.values())

    @cached_property
    def admin(self) -> KafkaAdmin:
        """Orders to the cluster, whichever of its nodes are there."""
        return KafkaAdmin(",".join(broker.inner_address for broker in self.brokers.values()))

    def start(self) -> None:
        """Start every broker, for none answers before most are there; ServerFailed if one does not come up."""
        for broker in self.brokers.values():
            self._starter.submit(broker.begin).result()
        for broker in self.brokers.values():
            if not wait_until(broker.has_joined, START_S):
                self.end()
                raise ServerFailed(f"{broker.name} did not join its cluster within {START_S:g} s.\n{broker.log_tail()}")

    def start_again(self, node: int) -> None:
        """Start a broker that was stopped or killed; it keeps its records and its address. From any thread."""
        self._starter.submit(self.brokers[node].start, START_S).result()

    def end(self) -> None:
        """End every broker with SIGKILL, because the last ones have no broker left to hand over to."""
        for broker in self.brokers.values():
            broker.kill()
        self._starter.shutdown()
