"""Makes a backlog of commits, as shards and their relays would leave it, and puts it into Kafka."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.commits import CONFIRMED, HELD, RELEASED, FakeShard, MadeCommit, record

COMMITS, ORDERS = "holdfast.commits.v1", "holdfast.orders.v1"
TOPICS = (COMMITS, ORDERS, *(f"holdfast.{name}.v1" for name in ("ledger-progress", "compensations", "sales")))
RECORD_BYTES = 250_000
COMMIT_OVERHEAD_BYTES = 60  # its hash and lengths in a record
# In the epoch of the generated commits, as `holdfast init` would in the one that it draws.
OPEN_SHARDS = """
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
select shard, $1, 1, 0, '', 1, 0, 1, 0 from generate_series(0, $1 - 1) as shard"""


@dataclass
class History:
    """What one shard's Redis would have done: a sale, then batches of reserves, each settled in part afterwards."""

    number: int
    batch: int  # reservations that one script call makes
    changes: int = 0
    held: int = 0
    sold: int = 0

    def __post_init__(self) -> None:
        self.shard = FakeShard(self.number)
        self.sale_id = f"sale-{self.number}"

    def make(self, reservations: int, confirmed: float, released: float) -> None:
        """Generate the commits; `confirmed` and `released` are shares of the reservations."""
        generator = random.Random(self.number)
        self.shard.open_sale(self.sale_id, lamp=reservations)
        for first in range(0, reservations, self.batch):
            names = [f"reservation-{number:08}" for number in range(first, min(first + self.batch, reservations))]
            self._move([(name, HELD) for name in names], buyer=f"buyer-{first % 5000:05}")
            chances = ((name, generator.random()) for name in names)
            ends = [(name, chance < confirmed) for name, chance in chances if chance < confirmed + released]
            self._move([(name, CONFIRMED if paid else RELEASED) for name, paid in ends])
            self.held += len(names) - len(ends)
            self.sold += sum(paid for _, paid in ends)
        self.shard.known.clear()  # of a million reservations it takes a gigabyte

    def records(self, at_most: int = RECORD_BYTES) -> list[bytes]:
        """The commits as the relay would send them."""
        cut: list[list[MadeCommit]] = [[]]
        size = 0
        for commit in self.shard.commits:
            if size + len(commit.payload) > at_most and cut[-1]:
                cut.append([])
                size = 0
            cut[-1].append(commit)
            size += len(commit.payload) + COMMIT_OVERHEAD_BYTES
        return [record(self.number, commits) for commits in cut]

    def _move(self, moves: list[tuple[str, int]], buyer: str = "") -> None:
        if moves:
            self.shard.moves(*moves, buyer=buyer, sale_id=self.sale_id)
            self.changes += len(moves)


async def make_topics(brokers: str, prefix: str, partitions: int) -> None:
    """Make all topics, with this prefix, on a Kafka that keeps what it gets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    await admin.create_topics([NewTopic(f"{prefix}{topic}", partitions, 1) for topic in TOPICS])
    await admin.close()


async def preload(brokers: str, prefix: str, histories: Sequence[History], record_bytes: int) -> None:
    """Send every commit, a record of a shard after the other."""
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    await producer.start()
    for history in histories:
        for value in history.records(record_bytes):
            await producer.send(f"{prefix}{COMMITS}", value, key=str(history.number).encode(), partition=history.number)
    await producer.stop()
