"""Decides which commits of a delivery the ledger accepts, and how far its row has then read the partition."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import CommitRun

from order_persister.domain.events import Events, known_events

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
    """The part of a batch that is one shard's, in order; `records` are those that end in it."""

    records: list[KafkaRecord] = field(default_factory=list)
    received: list[ReceivedCommit] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)


class Watermark(NamedTuple):
    """The last commit of a shard that the ledger holds: it holds all up to it, and none beyond."""

    epoch: int
    seq: int
    hash: str

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and seq."""
        return self.epoch, self.seq


class ReadMark(NamedTuple):
    """How far a shard's row has read its partition: every record below `offset`.

    It is part of the row, so a ledger that is restored from a backup reads again what it had read since. `digest` is
    that of the record before `offset`, by which a topic that was made anew is recognized; empty: unknown.
    """

    offset: int
    digest: bytes


NOTHING_SEEN = (0, 0)


class AcceptedCommit(NamedTuple):
    """A commit that follows from the one before it, decoded."""

    epoch: int
    seq: int
    payload: bytes
    hash: str
    events: Events


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
    contradiction: ReceivedCommit | None = None  # the commit for which the shard is frozen
    frozen_reason: str | None = None

    @property
    def unread_from(self) -> int:
        """The offset from which the records have to be read again: a later version knows what this one does not.

        After a freeze that is the record behind the contradicting one: nothing can be gained by reading that again.
        """
        known = MAX_SEQ if self.unknown_event is None else self.unknown_event.offset
        return known if self.contradiction is None else min(known, self.contradiction.offset + 1)


def deliveries_from(records: Iterable[KafkaRecord]) -> dict[int, Delivery]:
    """Group records by shard and unpack them; a record that is not a run of its partition's shard is quarantined."""
    by_shard: dict[int, Delivery] = {}
    for record in records:
        delivery = by_shard.setdefault(record.shard, Delivery())
        delivery.records.append(record)
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
    watermark: Watermark,
    received: Sequence[ReceivedCommit],
    journal: Mapping[tuple[int, int], str],
    in_order_to: int = MAX_SEQ,
) -> ApplyPlan:
    """Check every commit against what the ledger holds; `journal` has the hashes at the positions already applied.

    Commits beyond a gap are skipped: the relay resends them. `in_order_to` is the last offset before which the row has
    read every record.
    """
    plan = ApplyPlan(watermark)
    hashes = dict(journal)
    for commit in received:
        if commit.epoch < plan.watermark.epoch:
            _plan_older_epoch(plan, commit, hashes)
        elif commit.epoch > plan.watermark.epoch:
            _plan_newer_epoch(plan, commit, hashes, commit.offset <= in_order_to)
        elif commit.seq <= plan.watermark.seq:
            _plan_repeat(plan, commit, hashes)
        elif commit.seq == plan.watermark.seq + 1:
            _plan_next(plan, commit, hashes)
        if plan.frozen_reason is not None:
            plan.contradiction = commit
            break
    return plan


def is_ahead(received: Sequence[ReceivedCommit], watermark: Watermark) -> bool:
    """Whether a commit of this epoch lies above the watermark: once a delivery was applied, a gap precedes it."""
    return any(commit.epoch == watermark.epoch and commit.seq > watermark.seq for commit in received)


def epochs_entered(
    watermark: Watermark, accepted: Sequence[AcceptedCommit]
) -> Iterator[tuple[Watermark, AcceptedCommit]]:
    """The first commit of each epoch that a run enters, and the commit on which that epoch builds."""
    for commit in accepted:
        if commit.epoch != watermark.epoch:
            yield watermark, commit
        watermark = Watermark(commit.epoch, commit.seq, commit.hash)


def read_to(offset: int, records: Iterable[KafkaRecord]) -> int:
    """The offset to which a row that had read to `offset` has read with these records.

    It moves only from exactly there: a record beyond it shows that this row has not read those before.
    """
    for record in records:
        if record.offset == offset:
            offset += 1
    return offset


def read_mark_after(mark: ReadMark, records: Sequence[KafkaRecord], plan: ApplyPlan) -> ReadMark:
    """The mark once a plan for these records is carried out."""
    read = [record for record in records if record.offset < plan.unread_from]
    offset = read_to(mark.offset, read)
    if offset == mark.offset:
        return mark
    last = next(record for record in reversed(read) if record.offset == offset - 1)
    return ReadMark(offset, digest_of(last.value))


def digest_of(value: bytes) -> bytes:
    """The digest by which a record is recognized."""
    return sha256(value).digest()


def seen_after(seen: tuple[int, int], watermark: Watermark, received: Iterable[ReceivedCommit]) -> tuple[int, int]:
    """The highest commit that a record named and the ledger, now at this watermark, could not apply.

    Until the ledger has reached it, a take-over must not believe that the ledger holds all that was ever made.
    """
    highest = max(((commit.epoch, commit.seq) for commit in received), default=NOTHING_SEEN)
    return max(seen, highest) if max(seen, highest) > watermark.position else NOTHING_SEEN


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


def _plan_newer_epoch(
    plan: ApplyPlan, commit: ReceivedCommit, hashes: dict[tuple[int, int], str], in_order: bool
) -> None:
    """A ledger that was set back across a take-over meets the epoch that the take-over began.

    If the epoch's first commit follows from what the ledger holds, it can only have begun there, and is entered. If it
    does not, although everything before it was read, it belongs to another history. Else what leads there comes yet.
    """
    if commit.seq == 1 and _follows(plan.watermark, commit):
        _plan_next(plan, commit, hashes)
    elif commit.seq == 1 and in_order:
        plan.frozen_reason = (
            f"NEWER_EPOCH: commit {commit.seq} of epoch {commit.epoch} came, which does not follow from commit "
            f"{plan.watermark.epoch}-{plan.watermark.seq}, where the ledger is"
        )


def _plan_repeat(plan: ApplyPlan, commit: ReceivedCommit, hashes: Mapping[tuple[int, int], str]) -> None:
    """A repeat is dropped, but its hash must be the journal's."""
    if hashes.get((commit.epoch, commit.seq)) == commit.hash:
        plan.repeats += 1
    else:
        plan.frozen_reason = f"HASH_DIFFERS: commit {commit.seq} came again with another hash than the journal's"


def _plan_next(plan: ApplyPlan, commit: ReceivedCommit, hashes: dict[tuple[int, int], str]) -> None:
    """Accept the next commit if its hash follows, it decodes, and this version knows its events."""
    is_chained = _follows(plan.watermark, commit)
    body = _decoded(commit.payload)
    if body is None:
        plan.unreadable, plan.unreadable_is_chained = commit, is_chained
    elif not is_chained:
        plan.frozen_reason = f"CHAIN_BROKEN: the hash of commit {commit.seq} does not follow from the one before it"
    elif (events := known_events(body)) is None:
        plan.unknown_event = commit
    else:
        plan.accepted.append(AcceptedCommit(commit.epoch, commit.seq, commit.payload, commit.hash, events))
        plan.watermark = Watermark(commit.epoch, commit.seq, commit.hash)
        hashes[commit.epoch, commit.seq] = commit.hash


def _follows(watermark: Watermark, commit: ReceivedCommit) -> bool:
    return sha1(watermark.hash.encode() + commit.payload, usedforsecurity=False).hexdigest() == commit.hash


def _decoded(payload: bytes) -> CommitBody | None:
    try:
        return CommitBody.FromString(payload)
    except DecodeError:
        return None
