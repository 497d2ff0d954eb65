"""Apache Kafka in the place of the embedded broker: one process that is broker and controller at once."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from holdfast_embedded.broker import TOPICS
from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.process import spawn
from holdfast_embedded.server import KafkaServer, ServerFailed

from tests.real.kafka_admin import KafkaAdmin
from tests.real.kafka_jars import kafka_class_path

CLUSTER_ID = "aG9sZGZhc3QtYS10ZXN0IQ"  # 16 arbitrary bytes in base64
FORMAT_DEADLINE_S = START_S = 90.0  # two to five seconds on an idle machine
# A small heap and a quick start: C1 alone is enough for processes that run for minutes.
JAVA = ("java", "-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")


class Ports:
    """The ports of one node: for clients, for other brokers and the tests' AdminClient, and for controllers."""

    def __init__(self) -> None:
        self.clients, self.brokers, self.controllers = free_port(), free_port(), free_port()


@dataclass(frozen=True)
class Listener:
    """The security of the clients' listener; brokers and the tests' AdminClient use a PLAINTEXT listener beside it.

    `settings` are Kafka's own for a listener, without their prefix: `ssl.keystore.location`, `ssl.client.auth`,
    `sasl.enabled.mechanisms`, `plain.sasl.jaas.config`. `scram_users` are names and passwords, which formatting writes
    into the cluster's metadata.
    """

    protocol: str = "PLAINTEXT"  # or SSL, SASL_PLAINTEXT, SASL_SSL
    settings: Mapping[str, str] = field(default_factory=dict)
    scram_users: Mapping[str, str] = field(default_factory=dict)


PLAINTEXT_LISTENER = Listener()


class ApacheKafka(KafkaServer):
    """One Kafka with its records in `data_dir`, at the same address after each start.

    The first start creates `topics`. `settings` override this class's settings of the broker; `voters` are the ports of
    every node of the cluster by node id, this one included, and without them the node is a cluster by itself.
    """

    def __init__(
        self,
        data_dir: Path,
        partitions: int = 16,
        listener: Listener = PLAINTEXT_LISTENER,
        settings: Mapping[str, str] | None = None,
        topics: Sequence[str] = TOPICS,
        *,
        node: int = 1,
        voters: Mapping[int, Ports] | None = None,
        name: str = "broker",
    ) -> None:
        super().__init__(name, data_dir)
        self.partitions = partitions
        self._listener = listener
        self._settings = settings or {}
        self._topics = list(topics)
        self._node = node
        self._voters = voters or {node: Ports()}

    @property
    def address(self) -> str:
        """The bootstrap address for clients, host:port."""
        return f"{LOOPBACK}:{self._voters[self._node].clients}"

    @cached_property
    def admin(self) -> KafkaAdmin:
        """An AdminClient on the listener that needs no password."""
        return KafkaAdmin(self.inner_address)

    @property
    def inner_address(self) -> str:
        """The address of the brokers' PLAINTEXT listener, host:port."""
        return f"{LOOPBACK}:{self._voters[self._node].brokers}"

    def start(self, deadline_s: float = START_S) -> None:
        """Start the broker, and return when it answers and has its topics."""
        super().start(deadline_s)
        self.admin.create_topics(self._topics, self.partitions)

    def start_without_waiting(self) -> None:
        """Start the process without waiting: a node answers only when most nodes of its cluster run."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()

    def create_topics(self, *names: str) -> None:
        """Create more topics."""
        self._topics += names
        self.admin.create_topics(names, self.partitions)

    def reset_topics(self) -> None:
        """Delete and create every topic: it has no records then, and its offsets begin at 0."""
        self.admin.delete_topics(self._topics)
        self.admin.create_topics(self._topics, self.partitions)

    def down(self) -> None:
        """Cut every connection and refuse new ones, without losing a record."""
        self.kill()

    def up(self) -> None:
        """Serve again after `down`."""
        self.start()

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, after formatting its folder if that was not done.

        The configuration is written at each start: the folder may be that of an earlier broker on other ports.
        """
        if not self._config.exists():
            self._format()
        self._config.write_text(self._properties_text())
        with self.log_path.open("ab") as log:
            return spawn([*self._java(), "kafka.Kafka", self._config], stdout=log, stderr=log)

    def has_joined(self) -> bool:
        """Whether this node is registered as a broker and in sync with the others."""
        return self.is_running and self.admin.serves(self._node)

    def _is_ready(self) -> bool:
        return self.has_joined()

    @property
    def _config(self) -> Path:
        return self.data_dir / "server.properties"

    def _java(self) -> Sequence[str]:
        return (*JAVA, *LOGGING, "-cp", kafka_class_path())

    def _properties_text(self) -> str:
        return "".join(f"{key}={value}\n" for key, value in self._properties().items())

    def _format(self) -> None:
        """Format the folder, and rename its configuration last: an unfinished folder is never started."""
        unfinished = self.data_dir / "server.properties.new"
        unfinished.write_text(self._properties_text())
        scram = [
            f"--add-scram={mechanism}=[name={name},password={password}]"
            for name, password in self._listener.scram_users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        command = [*self._java(), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        with self.log_path.open("ab") as log:
            process = spawn([*command, "-t", CLUSTER_ID, "-c", unfinished, *scram], stdout=log, stderr=log)
            if process.wait(FORMAT_DEADLINE_S) != 0:
                raise ServerFailed(f"{self.name}: its folder could not be formatted.\n{self.log_tail()}")
        unfinished.rename(self._config)

    def _properties(self) -> Mapping[str, str]:
        """Return the configuration. Time-outs of groups and elections are short, for all nodes are on one machine."""
        copies = str(min(3, len(self._voters)))
        return {
            "node.id": str(self._node),
            "process.roles": "broker,controller",
            "log.dirs": str(self.data_dir / "records"),
            **self._listener_properties(),
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "200",
            "group.min.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "500",
            "broker.session.timeout.ms": "3000",  # a killed node can register again after it
            **self._settings,
        }

    def _listener_properties(self) -> Mapping[str, str]:
        """Return the three listeners, of which the clients' alone may have TLS and SASL."""
        ports = self._voters[self._node]
        clients, brokers = f"CLIENTS://{LOOPBACK}:{ports.clients}", f"BROKERS://{LOOPBACK}:{ports.brokers}"
        voters = (f"{node}@{LOOPBACK}:{voter.controllers}" for node, voter in self._voters.items())
        return {
            "listeners": f"{clients},{brokers},CONTROLLERS://{LOOPBACK}:{ports.controllers}",
            "advertised.listeners": f"{clients},{brokers}",
            "listener.security.protocol.map": (
                f"CLIENTS:{self._listener.protocol},BROKERS:PLAINTEXT,CONTROLLERS:PLAINTEXT"
            ),
            "inter.broker.listener.name": "BROKERS",
            "controller.listener.names": "CONTROLLERS",
            "controller.quorum.voters": ",".join(voters),
            **{f"listener.name.clients.{key}": value for key, value in self._listener.settings.items()},
        }
