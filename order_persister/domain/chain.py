"""Decides which commits of a delivery the ledger accepts: decoding, epochs, gaps and the hash chain."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import CommitRun

from order_persister.domain.events import is_known

MAX_SEQ = 2**63 - 1  # of the ledger's column; epochs are no wider on the wire


class KafkaRecord(NamedTuple):
    """A Kafka record of a shard's partition, not decoded."""

    shard: int
    offset: int
    value: bytes


class ReceivedCommit(NamedTuple):
    """A commit of a record, not checked."""

    offset: int
    epoch: int
    seq: int
    payload: bytes
    hash: str


class Quarantined(NamedTuple):
    """Bytes that the ledger cannot apply, and why."""

    offset: int
    payload: bytes
    why: str
    epoch: int | None = None  # with seq: of the commit; None: the bytes are a whole record
    seq: int | None = None


@dataclass
class Delivery:
    """The part of a batch that is one shard's, in order."""

    received: list[ReceivedCommit] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)


class Watermark(NamedTuple):
    """The last commit of a shard that the ledger holds: it holds all up to it, and none beyond."""

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

    watermark: Watermark  # after the accepted commits
    accepted: list[AcceptedCommit] = field(default_factory=list)
    orphans: list[ReceivedCommit] = field(default_factory=list)  # of an older epoch, and the ledger lacks them
    repeats: int = 0
    unreadable: ReceivedCommit | None = None  # does not decode; a gap, unless `unreadable_is_chained` and seen before
    unreadable_is_chained: bool = False
    unknown_event: ReceivedCommit | None = None  # has an event, a field or a value of a later version
    frozen_reason: str | None = None


def deliveries_from(records: Iterable[KafkaRecord]) -> dict[int, Delivery]:
    """Group records by shard and unpack them; a record that is not a run of its partition's shard is quarantined."""
    by_shard: dict[int, Delivery] = {}
    for record in records:
        delivery = by_shard.setdefault(record.shard, Delivery())
        try:
            run = CommitRun.FromString(record.value)
        except DecodeError:
            delivery.quarantined.append(Quarantined(record.offset, record.value, "the record does not decode"))
            continue
        why = _why_malformed(record.shard, run)
        if why is not None:
            delivery.quarantined.append(Quarantined(record.offset, record.value, why))
            continue
        delivery.received.extend(
            ReceivedCommit(record.offset, run.epoch, seq, commit.payload, commit.hash.decode("ascii", "replace"))
            for seq, commit in enumerate(run.commits, start=run.first_seq)
        )
    return by_shard


def quarantined_commit(commit: ReceivedCommit, why: str) -> Quarantined:
    """A commit that the ledger cannot apply."""
    return Quarantined(commit.offset, commit.payload, why, commit.epoch, commit.seq)


def already_applied(watermark: Watermark, received: Sequence[ReceivedCommit]) -> list[tuple[int, int]]:
    """Positions at or below the watermark; `plan_apply` needs the journal's hashes of these."""
    return [
        (commit.epoch, commit.seq)
        for commit in received
        if (commit.epoch, commit.seq) <= (watermark.epoch, watermark.seq)
    ]


def plan_apply(
    watermark: Watermark, received: Sequence[ReceivedCommit], journal: Mapping[tuple[int, int], str]
) -> ApplyPlan:
    """Check every commit against what the ledger holds; `journal` has the hashes at the positions already applied.

    Commits beyond a gap are skipped: the relay resends them.
    """
    plan = ApplyPlan(watermark)
    hashes = dict(journal)
    for commit in received:
        if commit.epoch < plan.watermark.epoch:
            _plan_older_epoch(plan, commit, hashes)
        elif commit.epoch > plan.watermark.epoch:
            plan.frozen_reason = (
                f"NEWER_EPOCH: commit {commit.seq} of epoch {commit.epoch} came, "
                f"and the ledger is at {plan.watermark.epoch}"
            )
        elif commit.seq <= plan.watermark.seq:
            _plan_repeat(plan, commit, hashes)
        elif commit.seq == plan.watermark.seq + 1:
            _plan_next(plan, commit)
            hashes[commit.epoch, commit.seq] = commit.hash
        if plan.frozen_reason is not None:
            break
    return plan


def is_ahead(received: Sequence[ReceivedCommit], watermark: Watermark) -> bool:
    """Whether a commit of this epoch lies above the watermark: once a delivery was applied, a gap precedes it."""
    return any(commit.epoch == watermark.epoch and commit.seq > watermark.seq for commit in received)


def _why_malformed(shard: int, run: CommitRun) -> str | None:
    """Why a record that decodes is not a run of this shard, if it is not."""
    if run.shard != shard or not run.commits:
        return "the record is not a run of its partition's shard"
    if run.epoch < 1 or not 1 <= run.first_seq <= MAX_SEQ - len(run.commits):
        return "the record's epoch or seq is out of range"
    return None


def _plan_older_epoch(plan: ApplyPlan, commit: ReceivedCommit, hashes: Mapping[tuple[int, int], str]) -> None:
    """An older epoch is over: a commit of it is a repeat if the ledger holds it, and an orphan otherwise."""
    if hashes.get((commit.epoch, commit.seq)) == commit.hash:
        plan.repeats += 1
    else:
        plan.orphans.append(commit)


def _plan_repeat(plan: ApplyPlan, commit: ReceivedCommit, hashes: Mapping[tuple[int, int], str]) -> None:
    """A repeat is dropped, but its hash must be the journal's."""
    if hashes.get((commit.epoch, commit.seq)) == commit.hash:
        plan.repeats += 1
    else:
        plan.frozen_reason = f"HASH_DIFFERS: commit {commit.seq} came again with another hash than the journal's"


def _plan_next(plan: ApplyPlan, commit: ReceivedCommit) -> None:
    """Accept the next commit if its hash follows, it decodes, and this version knows its events."""
    is_chained = sha1(plan.watermark.hash.encode() + commit.payload, usedforsecurity=False).hexdigest() == commit.hash
    body = _decoded(commit.payload)
    if body is None:
        plan.unreadable, plan.unreadable_is_chained = commit, is_chained
    elif not is_chained:
        plan.frozen_reason = f"CHAIN_BROKEN: the hash of commit {commit.seq} does not follow from the one before it"
    elif not is_known(body):
        plan.unknown_event = commit
    else:
        plan.accepted.append(AcceptedCommit(commit.epoch, commit.seq, commit.payload, commit.hash, body))
        plan.watermark = Watermark(commit.epoch, commit.seq, commit.hash)


def _decoded(payload: bytes) -> CommitBody | None:
    try:
        return CommitBody.FromString(payload)
    except DecodeError:
        return None
