"""Values about shards that Redis, Kafka and the ledger exchange, and the errors for servers that are unavailable."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

# The first words of a frozen reason; a colon and a sentence follow.
LEDGER_WENT_BACK = "LEDGER_WENT_BACK"
NEEDS_RESTORE = "NEEDS_RESTORE"
WENT_BACK = "WENT_BACK"


# How an epoch began: Redis had the shard's state, or it was loaded from the ledger.
ADOPTED, LOADED = "ADOPTED", "LOADED"

VOID = "void"  # the hash of a shard that is being loaded: no commit has it

RESIZING = (
    "the number of shards never changes, because each reservation is named by its shard and its place there: for "
    "another number run a second installation, with a Redis, a PostgreSQL database and a HOLDFAST_KAFKA_PREFIX of its "
    "own, make new sales there, and let the old one end with its sales"
)


class ServerUnavailable(Exception):
    """A server did not answer, or answered that it cannot now. It is transient: loops retry, and no process ends."""

    server = "a server"
    remedy = "start it"

    def describe(self, then: str = "") -> str:
        """What is wrong, for a person. `then` is what to do after the remedy, such as to run a command again."""
        remedy = f"; {self.remedy}, {then}" if then else ""
        return f"{self.server} does not answer: {self}{remedy}"


class RedisUnavailable(ServerUnavailable):
    """Redis."""

    server = "Redis"


class OtherFormat(RedisUnavailable):
    """Redis answers, and keeps a shard in a format that this version could misread."""

    remedy = "run the newer version"

    def __init__(self, shard: int, found: str, known: str) -> None:
        super().__init__(f"shard {shard} is kept in format {found} and this Holdfast knows {known}: {self.remedy}")

    def describe(self, then: str = "") -> str:
        return str(self)


class KafkaUnavailable(ServerUnavailable):
    """Kafka."""

    server = "Kafka"


class LedgerUnavailable(ServerUnavailable):
    """Postgres."""

    server = "Postgres"


class LedgerOutcomeUnknown(LedgerUnavailable):
    """Postgres did not answer a change, which it may have made."""


class ShardCountMismatch(Exception):
    """Settings and servers contradict each other. It is permanent: the process ends with this message."""


class CommitId(NamedTuple):
    """Names a commit of one shard; those of a shard compare in the order in which the commits were made."""

    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.seq}"


class Commit(NamedTuple):
    """A commit as its script wrote it to the outbox; `hash` is 40 hex digits."""

    epoch: int
    seq: int
    payload: bytes
    hash: str

    @property
    def commit_id(self) -> CommitId:
        return CommitId(self.epoch, self.seq)


class LedgerRow(NamedTuple):
    """A shard's row in the ledger: the last commit applied."""

    shard: int
    shards: int  # their number as `init` wrote it
    epoch: int
    seq: int
    hash: str
    settled_epoch: int
    settled_seq: int
    frozen_reason: str  # '': not frozen
    read_offset: int = 0  # the records below it in the shard's partition were read, without a gap
    read_digest: bytes = b""  # of the record before it; empty: unknown
    seen_epoch: int = 0  # with seen_seq: the highest commit that a record named and the ledger could not apply
    seen_seq: int = 0

    @property
    def commit_id(self) -> CommitId:
        return CommitId(self.epoch, self.seq)

    @property
    def seen(self) -> CommitId:
        """0-0: none above the watermark."""
        return CommitId(self.seen_epoch, self.seen_seq)


class Offsets(NamedTuple):
    """Where a partition begins, with the first record that is not deleted, and where its next record will be."""

    beginning: int
    end: int


class Fenced(NamedTuple):
    """A shard's row as a fence left it, in a new epoch, and the last commit on which that epoch builds."""

    row: LedgerRow
    base: CommitId


class AcceptedLoss(NamedTuple):
    """An operator has a shard opened although commits are known to be lost."""

    accepted_by: str
    read_from: int  # the offset from which its partition is read again: what the ledger does not take becomes orphans


class LedgerProgress(NamedTuple):
    """The state of a shard in the ledger, which the persister reports repeatedly: one may be lost, late or doubled."""

    shard: int
    epoch: int
    seq: int
    hash: str
    settled_epoch: int
    settled_seq: int
    resend: bool
    frozen_reason: str  # '': not frozen

    @property
    def commit_id(self) -> CommitId:
        return CommitId(self.epoch, self.seq)


class ShardStatus(NamedTuple):
    """The state of a shard in Redis. `epoch` 0: blank, because it was never opened, or Redis lost it."""

    shard: int
    identity: str  # of the Redis that answered: new at each start and each promotion; `replica`: it is no master
    shards: int  # their number as `init` wrote it; 0 while blank
    epoch: int
    seq: int
    hash: str  # of the head
    trim_seq: int
    owner: str  # the identity of the Redis for which it was opened
    takeover_token: str  # '': no take-over has begun
    frozen_reason: str  # '': not frozen
    outbox_length: int  # commits
    overdue_sales: int = 0  # of which holds are to be taken back
    ahead_ms: int = 0  # by which the time of its last commit is ahead of Redis' clock
    now_ms: int = 0  # by the shard's clock: that of Redis, never before its last commit
    parts: int = 0  # of a load that began and has not ended: how many are written
    renewals: int = 0  # of the take-over, by a process that loads
    base: CommitId | None = None  # on which the epoch builds, 0-0: on none; None while blank
    blocked_version: int | None = None  # of the list that its copy of blocked buyers is equal to; None: they may differ

    @property
    def blank(self) -> bool:
        return self.epoch == 0

    @property
    def void(self) -> bool:
        """Whether a load began and has not ended."""
        return self.hash == VOID

    @property
    def serving(self) -> bool:
        return self.owned and not (self.takeover_token or self.frozen_reason)

    @property
    def owned(self) -> bool:
        """Whether the shard was opened for the Redis that answered."""
        return not self.blank and self.owner == self.identity

    @property
    def head(self) -> CommitId:
        return CommitId(self.epoch, self.seq)

    @property
    def trimmed(self) -> CommitId:
        return CommitId(self.epoch, self.trim_seq)


class BegunTakeover(NamedTuple):
    """A shard at the start of a take-over: it serves no call until this take-over, or a later one, adopts it."""

    shard: int
    token: str
    identity: str  # of the Redis in which it began
    epoch: int  # 0: blank
    seq: int
    hash: str


class Trimmed(NamedTuple):
    """The result of a progress report in Redis: `result` is TRIMMED, STALE, BLANK or FROZEN with its reason."""

    result: str
    reason: str
    trimmed: CommitId


class TopicSpec(NamedTuple):
    """A topic to create."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


def follows(commit: Commit, row: LedgerRow) -> bool:
    """Whether the commit is the next one in the ledger's hash chain: of its epoch, or the first of a later one."""
    is_next = commit.commit_id == CommitId(row.epoch, row.seq + 1) or (commit.epoch > row.epoch and commit.seq == 1)
    return is_next and commit.hash == hash_of(row.hash, commit.payload)


def check_shard_count(settings: int, found: int, where: str) -> None:
    """`ShardCountMismatch` if a server was initialized for another number of shards; 0: not initialized."""
    if found not in (0, settings):
        raise ShardCountMismatch(other_shard_count(settings, found, where))


def other_shard_count(settings: int, found: int, where: str) -> str:
    """Why no process works with another number of shards than a server was initialized for, in one line."""
    return f"HOLDFAST_SHARDS is {settings}, and {where} was initialized for {found}: set it to {found}; {RESIZING}"


def check_partitions(settings: int, found: int, topic: str) -> None:
    """`ShardCountMismatch` if a topic has another number of partitions than there are shards; 0: there is no topic."""
    if found not in (0, settings):
        raise ShardCountMismatch(
            f"HOLDFAST_SHARDS is {settings}, and {topic} has {found} partitions: {partitions_remedy(found)}"
        )


def partitions_remedy(found: int) -> str:
    """What to do with a topic of another number of partitions."""
    mistaken = "else delete the topic and run `holdfast topics`"
    return f"set HOLDFAST_SHARDS={found} if that is what `holdfast init` was run with; {mistaken}"


def hash_of(previous: str, payload: bytes) -> str:
    """The hash of a commit that follows one whose hash is `previous` ('' for the shard's first)."""
    return hashlib.sha1(previous.encode() + payload, usedforsecurity=False).hexdigest()
