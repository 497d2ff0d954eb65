"""librdkafka's mock cluster of one broker, in memory only, from the library that the confluent-kafka wheel bundles."""

import ctypes
import importlib.util
import time
from pathlib import Path

BROKER_ID = 1  # the only broker, and the controller
REPLICAS = 1
RD_KAFKA_PRODUCER = 0
ERROR_SIZE = 512
# How long a group waits for more members before its first rebalance. Kafka's default, 3 s, is for members that start
# far apart; here all start on one machine.
REBALANCE_DELAY_MS = 200
# A command that comes while the broker's thread ends the one before does not wake it: it is carried out a second later.
COMMAND_PAUSE_S = 0.001


class MockCluster:
    """A Kafka-protocol broker on a loopback port that the kernel chooses. It runs as long as this process."""

    def __init__(self, topics: tuple[str, ...], partitions: int) -> None:
        self._library = load_library()
        self._topics: list[str] = []
        self._partitions = partitions
        self._cluster = self._new_cluster()
        self._check(self._library.rd_kafka_mock_set_controller_id(self._cluster, BROKER_ID), "set the controller")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, REBALANCE_DELAY_MS)
        self.create_topics(*topics)

    @property
    def address(self) -> str:
        """The bootstrap address, host:port."""
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return bootstraps.decode()

    def create_topics(self, *topics: str) -> None:
        """Create more topics."""
        for topic in topics:
            self._create(topic)
            self._topics.append(topic)

    def reset_topics(self) -> None:
        """Delete and create every topic: it is empty afterwards, and its offsets begin at 0 again."""
        for topic in self._topics:
            self._check(self._library.rd_kafka_mock_topic_delete(self._cluster, topic.encode()), f"delete {topic}")
            self._create(topic)

    def set_down(self) -> None:
        """Cut every connection and refuse new ones; records stay."""
        self._check(self._library.rd_kafka_mock_broker_set_down(self._cluster, BROKER_ID), "set down")

    def set_up(self) -> None:
        """Serve again after `set_down`."""
        self._check(self._library.rd_kafka_mock_broker_set_up(self._cluster, BROKER_ID), "set up")

    def _create(self, topic: str) -> None:
        """Create one topic with the requested partitions; the mock's own topics have four."""
        code = self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), self._partitions, REPLICAS)
        self._check(code, f"create {topic}")

    def _new_cluster(self) -> ctypes.c_void_p:
        """Start the broker's thread, owned by a client instance that connects to nothing."""
        error = ctypes.create_string_buffer(ERROR_SIZE)
        owner = self._library.rd_kafka_new(RD_KAFKA_PRODUCER, None, error, ERROR_SIZE)
        if not owner:
            raise RuntimeError(f"librdkafka did not start: {error.value.decode()}")
        cluster = self._library.rd_kafka_mock_cluster_new(ctypes.c_void_p(owner), 1)
        if not cluster:
            raise RuntimeError("librdkafka made no mock cluster")
        return ctypes.c_void_p(cluster)

    def _check(self, code: int, action: str) -> None:
        """Raise an exception for any error code of librdkafka, and leave time until the next command."""
        if code != 0:
            raise RuntimeError(f"{action}: {self._library.rd_kafka_err2str(code).decode()}")
        time.sleep(COMMAND_PAUSE_S)


def load_library() -> ctypes.CDLL:
    """Load the bundled library and declare the return types that are wider than an int."""
    library = ctypes.CDLL(str(bundled_library()))
    for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("rd_kafka_mock_cluster_bootstraps", "rd_kafka_err2str"):
        getattr(library, name).restype = ctypes.c_char_p
    return library


def bundled_library() -> Path:
    """Return the path of the wheel's librdkafka: beside the package on Linux, inside it on macOS."""
    package = importlib.util.find_spec("confluent_kafka")
    if package is None or package.origin is None:
        raise RuntimeError("the embedded broker is not installed: install Holdfast with its extra [embedded]")
    folder = Path(package.origin).parent
    found = sorted([*folder.parent.glob("confluent_kafka.libs/librdkafka*"), *folder.glob(".dylibs/librdkafka*")])
    if not found:
        raise RuntimeError(f"no librdkafka beside {folder}: this confluent-kafka was built from source")
    return found[0]
