"""Which commits of a delivery the ledger may take."""

from dataclasses import replace

import pytest
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event, ReservationChange

from bench.commits import HELD, FakeShard, Made, record
from order_persister.domain.chain import (
    ApplyPlan,
    KafkaRecord,
    ReceivedCommit,
    Watermark,
    already_applied,
    deliveries,
    is_ahead,
    plan,
)

EMPTY = Watermark(1, 0, "")


@pytest.fixture
def shard() -> FakeShard:
    """A shard with five commits."""
    shard = FakeShard()
    for number in range(5):
        shard.moves((f"r-{number}", HELD))
    return shard


def sent(commits: list[Made], offset: int = 7) -> list[ReceivedCommit]:
    return [ReceivedCommit(offset, commit.epoch, commit.seq, commit.payload, commit.hash) for commit in commits]


def watermark_at(shard: FakeShard, seq: int) -> Watermark:
    return Watermark(1, seq, shard.commits[seq - 1].hash)


def planned(shard: FakeShard, watermark: Watermark, commits: list[Made]) -> ApplyPlan:
    journal = {(commit.epoch, commit.seq): commit.hash for commit in shard.commits}
    return plan(
        watermark,
        sent(commits),
        {key: journal[key] for key in already_applied(watermark, sent(commits)) if key in journal},
    )


def seqs(plan: ApplyPlan) -> list[int]:
    return [commit.seq for commit in plan.take]


def test_a_run_that_follows_is_taken(shard: FakeShard) -> None:
    """Each commit's hash follows from the one before it."""
    found = planned(shard, EMPTY, shard.commits)

    assert seqs(found) == [1, 2, 3, 4, 5]
    assert found.watermark == Watermark(1, 5, shard.hash)


def test_a_run_that_straddles_the_watermark_is_taken_from_there(shard: FakeShard) -> None:
    """Two relays cut their runs differently."""
    found = planned(shard, watermark_at(shard, 2), shard.commits)

    assert (seqs(found), found.repeats) == ([3, 4, 5], 2)


def test_what_lies_beyond_a_gap_is_not_taken_until_it_is_filled(shard: FakeShard) -> None:
    """Nothing is applied out of order; a resend within the same batch fills the gap at once."""
    beyond, whole = shard.commits[3:], shard.commits[2:]

    assert seqs(planned(shard, watermark_at(shard, 2), beyond)) == []
    assert is_ahead(sent(beyond), watermark_at(shard, 2))
    filled = planned(shard, watermark_at(shard, 2), beyond + whole)
    assert seqs(filled) == [3, 4, 5]
    assert not is_ahead(sent(beyond + whole), filled.watermark)


def test_an_altered_commit_breaks_the_chain(shard: FakeShard) -> None:
    """One flipped bit that still decodes is seen by the hash."""
    altered = replace(shard.commits[2], payload=CommitBody(time_ms=1).SerializeToString())

    found = planned(shard, watermark_at(shard, 2), [altered])

    assert seqs(found) == []
    assert (found.frozen_reason or "").startswith("CHAIN_BROKEN: ")


def test_a_repeat_with_another_hash_freezes(shard: FakeShard) -> None:
    """It is another history that claims to be ours."""
    other = replace(shard.commits[1], hash="0" * 40)

    found = planned(shard, watermark_at(shard, 5), [other])

    assert (found.frozen_reason or "").startswith("HASH_DIFFERS: ")


def test_what_came_before_a_contradiction_is_taken(shard: FakeShard) -> None:
    """A good commit is not lost for its bad neighbour."""
    found = planned(shard, EMPTY, [*shard.commits[:2], replace(shard.commits[2], hash="f" * 40), *shard.commits[3:]])

    assert seqs(found) == [1, 2]
    assert found.frozen_reason


def test_an_older_epoch_is_dropped_and_its_orphans_are_told(shard: FakeShard) -> None:
    """What the ledger holds of it is a repeat; what it lacks was acknowledged to somebody and belongs to nobody."""
    known = {(1, 1): shard.commits[0].hash, (1, 2): "another"}

    found = plan(Watermark(2, 0, shard.commits[0].hash), sent(shard.commits[:3]), known)

    assert (seqs(found), found.repeats, found.frozen_reason) == ([], 1, None)
    assert [orphan.seq for orphan in found.orphans] == [2, 3]


def test_a_newer_epoch_freezes(shard: FakeShard) -> None:
    """The ledger is always fenced first, so this cannot be."""
    found = planned(shard, EMPTY, [replace(shard.commits[0], epoch=2)])

    assert (found.frozen_reason or "").startswith("NEWER_EPOCH: ")


def test_an_unknown_event_is_left_to_a_newer_persister(shard: FakeShard) -> None:
    """It is neither refused nor an error: nothing from it on is taken."""
    shard.commit(Event())
    shard.commit(Event(reservation=ReservationChange(state=99)))  # type: ignore[arg-type]

    found = planned(shard, EMPTY, shard.commits)

    assert seqs(found) == [1, 2, 3, 4, 5]
    assert found.newer_writer is not None
    assert found.newer_writer.seq == 6
    assert found.frozen_reason is None


@pytest.mark.parametrize("field", ["state", "previous_state", "compensation_reason"])
def test_an_unknown_value_is_left_to_a_newer_persister(shard: FakeShard, field: str) -> None:
    """Each of them is spelled by its name in the ledger, and this version has no name for it."""
    change = ReservationChange(state=HELD)
    setattr(change, field, 99)
    shard.commit(Event(reservation=change))

    found = planned(shard, EMPTY, shard.commits)

    assert seqs(found) == [1, 2, 3, 4, 5]
    assert found.newer_writer is not None


def test_a_commit_that_does_not_decode_is_a_gap(shard: FakeShard) -> None:
    """Whether it was written so, the chain says."""
    shard.seq += 1
    written_so = shard.append(b"\xff\xff")
    altered = replace(written_so, payload=b"\xff\xfe")

    for commit, chained in ((written_so, True), (altered, False)):
        found = planned(shard, watermark_at(shard, 5), [commit])
        assert (seqs(found), found.frozen_reason) == ([], None)
        assert found.unreadable is not None
        assert found.unreadable_is_chained is chained


@pytest.mark.parametrize("value", [b"", b"\xff\xff\xff", record(3, FakeShard().commits or [Made(1, 1, b"", "")])])
def test_a_record_that_is_no_run_of_its_partition_is_junk(value: bytes) -> None:
    """Its bytes are kept, and what it stood for is asked for again."""
    delivery = deliveries([KafkaRecord(0, 11, value)])[0]

    assert [(undecodable.offset, undecodable.payload) for undecodable in delivery.undecodable] == [(11, value)]
    assert delivery.sent == []


@pytest.mark.parametrize(("epoch", "first_seq"), [(0, 1), (-1, 1), (1, 0), (1, -5), (1, 2**63 - 1), (0, 2**63 - 1)])
def test_a_run_whose_commits_stand_nowhere_is_junk(epoch: int, first_seq: int) -> None:
    """No script writes such a one, and the ledger could not even ask whether it has its commits."""
    value = record(0, [Made(epoch, first_seq, b"", ""), Made(epoch, first_seq + 1, b"", "")])

    delivery = deliveries([KafkaRecord(0, 11, value)])[0]

    assert [(undecodable.offset, undecodable.payload) for undecodable in delivery.undecodable] == [(11, value)]
    assert delivery.sent == []
