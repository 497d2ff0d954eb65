"""Decides, without I/O, which commits of a delivery the ledger may take: decoding, epochs, gaps and the chain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import CommitRun

from order_persister.domain.events import is_known

LAST_SEQ = 2**63 - 1  # that the ledger can name; epochs are no wider on the wire


class KafkaRecord(NamedTuple):
    """A Kafka record of a shard's partition, as it came."""

    shard: int
    offset: int
    value: bytes


class ReceivedCommit(NamedTuple):
    """A commit as a record brought it; nothing of it is believed yet."""

    offset: int
    epoch: int
    seq: int
    payload: bytes
    hash: str


class Undecodable(NamedTuple):
    """Bytes to set aside, and why."""

    offset: int
    payload: bytes
    why: str


@dataclass
class Delivery:
    """What a batch brought for one shard, in order."""

    sent: list[ReceivedCommit] = field(default_factory=list)
    undecodable: list[Undecodable] = field(default_factory=list)


class Watermark(NamedTuple):
    """The last commit that the ledger holds of a shard: all up to it are applied, and none beyond."""

    epoch: int
    seq: int
    hash: str


class AcceptedCommit(NamedTuple):
    """A commit that follows from the one before it, decoded."""

    epoch: int
    seq: int
    payload: bytes
    hash: str
    body: CommitBody


@dataclass
class ApplyPlan:
    """What to do with a delivery."""

    watermark: Watermark  # after `take`
    take: list[AcceptedCommit] = field(default_factory=list)
    orphans: list[ReceivedCommit] = field(default_factory=list)  # of an older epoch, and the ledger lacks them
    repeats: int = 0
    unreadable: ReceivedCommit | None = None  # does not decode; a gap, unless `unreadable_is_chained` and seen before
    unreadable_is_chained: bool = False
    newer_writer: ReceivedCommit | None = None  # holds an event of a kind that this version does not know
    frozen_reason: str | None = None


def deliveries(records: Iterable[KafkaRecord]) -> dict[int, Delivery]:
    """Sort records by shard and unpack them; one that is no run of its own partition is junk."""
    by_shard: dict[int, Delivery] = {}
    for record in records:
        delivery = by_shard.setdefault(record.shard, Delivery())
        try:
            run = CommitRun.FromString(record.value)
        except DecodeError:
            delivery.undecodable.append(Undecodable(record.offset, record.value, "the record does not decode"))
            continue
        if run.shard != record.shard or not run.commits:
            delivery.undecodable.append(
                Undecodable(record.offset, record.value, "the record is no run of its partition's shard")
            )
            continue
        if run.epoch < 1 or not 1 <= run.first_seq <= LAST_SEQ - len(run.commits):
            delivery.undecodable.append(Undecodable(record.offset, record.value, "the record's commits stand nowhere"))
            continue
        delivery.sent.extend(
            ReceivedCommit(record.offset, run.epoch, seq, commit.payload, commit.hash.decode("ascii", "replace"))
            for seq, commit in enumerate(run.commits, start=run.first_seq)
        )
    return by_shard


def already_applied(watermark: Watermark, sent: Sequence[ReceivedCommit]) -> list[tuple[int, int]]:
    """Positions at or below the watermark, whose hashes `plan` has to know."""
    return [
        (commit.epoch, commit.seq) for commit in sent if (commit.epoch, commit.seq) <= (watermark.epoch, watermark.seq)
    ]


def plan(watermark: Watermark, sent: Sequence[ReceivedCommit], journal: Mapping[tuple[int, int], str]) -> ApplyPlan:
    """Judge every commit against what the ledger holds; `journal` has the hashes of those that it holds already.

    What lies beyond a gap is passed over: it comes again.
    """
    plan = ApplyPlan(watermark)
    known = dict(journal)
    for commit in sent:
        if commit.epoch < plan.watermark.epoch:
            _judge_older_epoch(plan, commit, known)
        elif commit.epoch > plan.watermark.epoch:
            plan.frozen_reason = (
                f"NEWER_EPOCH: commit {commit.seq} of epoch {commit.epoch} came, "
                f"and the ledger is at {plan.watermark.epoch}"
            )
        elif commit.seq <= plan.watermark.seq:
            _judge_repeat(plan, commit, known)
        elif commit.seq == plan.watermark.seq + 1:
            _judge_next(plan, commit)
            known[commit.epoch, commit.seq] = commit.hash
        if plan.frozen_reason is not None:
            break
    return plan


def is_ahead(sent: Sequence[ReceivedCommit], watermark: Watermark) -> bool:
    """Whether something was sent that the ledger does not hold, even after it took what it could."""
    return any(commit.epoch == watermark.epoch and commit.seq > watermark.seq for commit in sent)


def _judge_older_epoch(plan: ApplyPlan, commit: ReceivedCommit, known: Mapping[tuple[int, int], str]) -> None:
    """An older epoch is over: what the ledger holds of it is a repeat, anything else belongs to nobody."""
    if known.get((commit.epoch, commit.seq)) == commit.hash:
        plan.repeats += 1
    else:
        plan.orphans.append(commit)


def _judge_repeat(plan: ApplyPlan, commit: ReceivedCommit, known: Mapping[tuple[int, int], str]) -> None:
    """A repeat is dropped, but it must be the same commit."""
    if known.get((commit.epoch, commit.seq)) == commit.hash:
        plan.repeats += 1
    else:
        plan.frozen_reason = f"HASH_DIFFERS: commit {commit.seq} came again with another hash than the journal's"


def _judge_next(plan: ApplyPlan, commit: ReceivedCommit) -> None:
    """Take the next commit if it follows, can be read, and says nothing unheard of."""
    follows = sha1(plan.watermark.hash.encode() + commit.payload, usedforsecurity=False).hexdigest() == commit.hash
    body = _decoded(commit.payload)
    if body is None:
        plan.unreadable, plan.unreadable_is_chained = commit, follows
    elif not follows:
        plan.frozen_reason = f"CHAIN_BROKEN: the hash of commit {commit.seq} does not follow from the one before it"
    elif not all(map(is_known, body.events)):
        plan.newer_writer = commit
    else:
        plan.take.append(AcceptedCommit(commit.epoch, commit.seq, commit.payload, commit.hash, body))
        plan.watermark = Watermark(commit.epoch, commit.seq, commit.hash)


def _decoded(payload: bytes) -> CommitBody | None:
    try:
        return CommitBody.FromString(payload)
    except DecodeError:
        return None
