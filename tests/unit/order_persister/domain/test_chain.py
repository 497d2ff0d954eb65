"""Which commits of a delivery the ledger accepts, and which records are quarantined."""

from dataclasses import replace

import pytest
from holdfast.inventory.v1.commit_pb2 import (
    Claim,
    CommitBody,
    Event,
    ReservationChange,
    SaleChanged,
    SaleLeft,
    SaleMade,
    StockAdjusted,
    Units,
)
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from bench.commits import HELD, FakeShard, MadeCommit, record
from order_persister.domain.chain import (
    ApplyPlan,
    KafkaRecord,
    ReadMark,
    ReceivedCommit,
    Watermark,
    already_applied,
    deliveries_from,
    digest_of,
    epochs_entered,
    is_ahead,
    plan_apply,
    read_mark_after,
    seen_after,
)

EMPTY = Watermark(1, 0, "")
UNKNOWN_FIELD = b"\xf8\x07\x01"


@pytest.fixture
def shard() -> FakeShard:
    """A shard with five commits."""
    shard = FakeShard()
    for number in range(5):
        shard.moves((f"r-{number}", HELD))
    return shard


def received(commits: list[MadeCommit], offset: int = 7) -> list[ReceivedCommit]:
    return [ReceivedCommit(offset, commit.epoch, commit.seq, commit.payload, commit.hash) for commit in commits]


def watermark_at(shard: FakeShard, seq: int) -> Watermark:
    return Watermark(1, seq, shard.commits[seq - 1].hash)


def planned(shard: FakeShard, watermark: Watermark, commits: list[MadeCommit]) -> ApplyPlan:
    journal = {(commit.epoch, commit.seq): commit.hash for commit in shard.commits}
    return plan_apply(
        watermark,
        received(commits),
        {key: journal[key] for key in already_applied(watermark, received(commits)) if key in journal},
    )


def accepted(plan: ApplyPlan) -> list[int]:
    return [commit.seq for commit in plan.accepted]


def test_a_run_that_follows_is_accepted(shard: FakeShard) -> None:
    """Each commit's hash follows from the one before it."""
    found = planned(shard, EMPTY, shard.commits)

    assert accepted(found) == [1, 2, 3, 4, 5]
    assert found.watermark == Watermark(1, 5, shard.hash)


def test_a_run_that_straddles_the_watermark_is_accepted_from_there(shard: FakeShard) -> None:
    """Two relays cut their runs differently."""
    found = planned(shard, watermark_at(shard, 2), shard.commits)

    assert (accepted(found), found.repeats) == ([3, 4, 5], 2)


def test_commits_beyond_a_gap_are_not_accepted_until_it_is_filled(shard: FakeShard) -> None:
    """Nothing is applied out of order; a resend within the same batch fills the gap at once."""
    beyond, whole = shard.commits[3:], shard.commits[2:]

    assert accepted(planned(shard, watermark_at(shard, 2), beyond)) == []
    assert is_ahead(received(beyond), watermark_at(shard, 2))
    filled = planned(shard, watermark_at(shard, 2), beyond + whole)
    assert accepted(filled) == [3, 4, 5]
    assert not is_ahead(received(beyond + whole), filled.watermark)


def test_an_altered_commit_breaks_the_chain(shard: FakeShard) -> None:
    """The hash shows a flipped bit that still decodes."""
    altered = replace(shard.commits[2], payload=CommitBody(time_ms=1).SerializeToString())

    found = planned(shard, watermark_at(shard, 2), [altered])

    assert accepted(found) == []
    assert (found.frozen_reason or "").startswith("CHAIN_BROKEN: ")


def test_a_repeat_with_another_hash_freezes_the_shard(shard: FakeShard) -> None:
    """It belongs to another history of the same shard."""
    other = replace(shard.commits[1], hash="0" * 40)

    found = planned(shard, watermark_at(shard, 5), [other])

    assert (found.frozen_reason or "").startswith("HASH_DIFFERS: ")


def test_commits_before_a_broken_chain_are_accepted(shard: FakeShard) -> None:
    """A valid commit is not lost for an invalid one behind it."""
    found = planned(shard, EMPTY, [*shard.commits[:2], replace(shard.commits[2], hash="f" * 40), *shard.commits[3:]])

    assert accepted(found) == [1, 2]
    assert found.frozen_reason


def test_an_older_epoch_is_dropped_and_its_orphans_are_listed(shard: FakeShard) -> None:
    """A commit that the ledger holds is a repeat; one that it lacks was acknowledged and is never applied."""
    journal = {(1, 1): shard.commits[0].hash, (1, 2): "another"}

    found = plan_apply(Watermark(2, 0, shard.commits[0].hash), received(shard.commits[:3]), journal)

    assert (accepted(found), found.repeats, found.frozen_reason) == ([], 1, None)
    assert [orphan.seq for orphan in found.orphans] == [2, 3]


def test_a_newer_epoch_that_follows_is_entered(shard: FakeShard) -> None:
    """The ledger was set back to before the take-over that began the epoch; its commits say where it began."""
    last = shard.commits[-1]
    shard.next_epoch()
    first, second = shard.moves(("r-6", HELD)), shard.moves(("r-7", HELD))

    found = planned(shard, watermark_at(shard, 5), [first, second, first])

    assert (found.watermark, found.repeats, found.frozen_reason) == (Watermark(2, 2, second.hash), 1, None)
    entered = list(epochs_entered(Watermark(1, 5, last.hash), found.accepted))
    assert [(base.position, commit.epoch) for base, commit in entered] == [((1, 5), 2)]


def test_a_newer_epoch_that_does_not_follow_freezes_the_shard(shard: FakeShard) -> None:
    """Everything before it was read, so this ledger is not the one of the shard's Redis."""
    shard.next_epoch()

    found = planned(shard, watermark_at(shard, 4), [shard.moves(("r-6", HELD))])

    assert (found.frozen_reason or "").startswith("NEWER_EPOCH: ")


def test_a_newer_epoch_waits_for_what_was_not_read(shard: FakeShard) -> None:
    """A ledger that was set back meets new commits before the earlier ones that it reads again."""
    shard.next_epoch()
    commits = received([shard.moves(("r-6", HELD)), shard.moves(("r-7", HELD))], offset=7)

    for offset, read_to_offset in ((commits, 5), (commits[1:], 7)):  # not in order; in order, behind a gap
        found = plan_apply(watermark_at(shard, 4), offset, {}, read_to_offset)
        assert (accepted(found), found.frozen_reason) == ([], None)


def test_a_row_reads_on_from_exactly_where_it_is() -> None:
    """A record beyond shows that those before were not read by this row, and one that comes again was."""
    records = [KafkaRecord(0, offset, b"record %d" % offset) for offset in range(9)]
    mark = ReadMark(3, digest_of(b"record 2"))

    assert read_mark_after(mark, records[4:], ApplyPlan(EMPTY)) == mark
    assert read_mark_after(mark, records[:3], ApplyPlan(EMPTY)) == mark
    assert read_mark_after(mark, records[1:6], ApplyPlan(EMPTY)) == ReadMark(6, digest_of(b"record 5"))


def test_what_a_later_version_knows_is_read_again(shard: FakeShard) -> None:
    """The row stays before it; a record that contradicts the ledger says nothing new the second time."""
    records = [KafkaRecord(0, offset, b"") for offset in range(5, 10)]
    commit = received(shard.commits[:1], offset=7)[0]

    unknown = read_mark_after(ReadMark(5, b""), records, ApplyPlan(EMPTY, unknown_event=commit))
    wrong = read_mark_after(ReadMark(5, b""), records, ApplyPlan(EMPTY, contradiction=commit))

    assert (unknown.offset, wrong.offset) == (7, 8)


def test_what_was_seen_stands_until_it_is_reached(shard: FakeShard) -> None:
    """A commit that is named and not applied was made: a take-over must not drop it without a word."""
    beyond = received(shard.commits[3:])

    seen = seen_after((0, 0), watermark_at(shard, 2), beyond)

    assert seen == (1, 5)
    assert seen_after(seen, watermark_at(shard, 4), []) == (1, 5)
    assert seen_after(seen, watermark_at(shard, 5), []) == (0, 0)
    assert seen_after((0, 0), Watermark(2, 0, ""), beyond) == (0, 0)


def test_an_unknown_event_is_left_to_a_later_version(shard: FakeShard) -> None:
    """It is neither refused nor an error: no commit from it on is accepted."""
    shard.commit(Event())
    shard.commit(Event(reservation=ReservationChange(state=99)))  # type: ignore[arg-type]

    found = planned(shard, EMPTY, shard.commits)

    assert accepted(found) == [1, 2, 3, 4, 5]
    assert found.unknown_event is not None
    assert found.unknown_event.seq == 6
    assert found.frozen_reason is None


@pytest.mark.parametrize("field", ["state", "previous_state", "compensation_reason"])
def test_an_unknown_value_is_left_to_a_later_version(shard: FakeShard, field: str) -> None:
    """The ledger stores each of them by its name, and this version has no name for it."""
    change = ReservationChange(state=HELD)
    setattr(change, field, 99)
    shard.commit(Event(reservation=change))

    found = planned(shard, EMPTY, shard.commits)

    assert accepted(found) == [1, 2, 3, 4, 5]
    assert found.unknown_event is not None


@pytest.mark.parametrize(
    "event",
    [
        Event(reservation=ReservationChange(state=HELD, claim=Claim.FromString(UNKNOWN_FIELD))),
        Event(reservation=ReservationChange(state=HELD, after=[Units.FromString(UNKNOWN_FIELD)])),
        Event(sale_made=SaleMade(sale=Sale(items=[Item.FromString(UNKNOWN_FIELD)]))),
        Event(sale_made=SaleMade(sale=Sale(state=99))),  # type: ignore[arg-type]
        Event(sale_changed=SaleChanged(added=[Item.FromString(UNKNOWN_FIELD)])),
        Event(stock_adjusted=StockAdjusted.FromString(UNKNOWN_FIELD)),
        Event(sale_left=SaleLeft.FromString(UNKNOWN_FIELD)),
    ],
    ids=["claim", "units", "item", "sale-state", "added-item", "adjustment", "departure"],
)
def test_an_unknown_field_or_value_at_any_depth_is_left_to_a_later_version(shard: FakeShard, event: Event) -> None:
    """Without it another change would be booked."""
    shard.commit(event)
    shard.moves(("r-9", HELD))

    found = planned(shard, EMPTY, shard.commits)

    assert accepted(found) == [1, 2, 3, 4, 5]
    assert found.unknown_event is not None


def test_every_kind_of_event_is_known(shard: FakeShard) -> None:
    """A persister of this version waits for none of them."""
    shard.commit(
        Event(sale_made=SaleMade(tenant="t", sale=Sale(sale_id="s", items=[Item(sku="lamp", total=1)]))),
        Event(sale_changed=SaleChanged(tenant="t", sale_id="s", added=[Item(sku="bulb")])),
        Event(stock_adjusted=StockAdjusted(tenant="t", sale_id="s", delta=-1, expected_total=0)),
        Event(reservation=ReservationChange(state=HELD, before=[Units(sku="a")], after=[Units(sku="a")])),
        Event(sale_left=SaleLeft(tenant="t", sale_id="s")),
    )

    [*_, last] = planned(shard, EMPTY, shard.commits).accepted

    assert (last.seq, len(last.events.orders), len(last.events.sales)) == (6, 1, 4)


def test_a_commit_that_does_not_decode_is_a_gap(shard: FakeShard) -> None:
    """Its hash says whether it was written so or altered on the way."""
    shard.seq += 1
    written_so = shard.append(b"\xff\xff")
    altered = replace(written_so, payload=b"\xff\xfe")

    for commit, chained in ((written_so, True), (altered, False)):
        found = planned(shard, watermark_at(shard, 5), [commit])
        assert (accepted(found), found.frozen_reason) == ([], None)
        assert found.unreadable is not None
        assert found.unreadable_is_chained is chained


@pytest.mark.parametrize("value", [b"", b"\xff\xff\xff", record(3, FakeShard().commits or [MadeCommit(1, 1, b"", "")])])
def test_a_record_that_is_not_a_run_of_its_partition_is_quarantined(value: bytes) -> None:
    """Its bytes are kept, and the relay is asked to resend its commits."""
    delivery = deliveries_from([KafkaRecord(0, 11, value)])[0]

    assert [(item.offset, item.payload) for item in delivery.quarantined] == [(11, value)]
    assert delivery.received == []


@pytest.mark.parametrize(("epoch", "first_seq"), [(0, 1), (-1, 1), (1, 0), (1, -5), (1, 2**63 - 1), (0, 2**63 - 1)])
def test_a_run_out_of_range_is_quarantined(epoch: int, first_seq: int) -> None:
    """No script writes such a run, and its positions do not fit into the ledger's columns."""
    value = record(0, [MadeCommit(epoch, first_seq, b"", ""), MadeCommit(epoch, first_seq + 1, b"", "")])

    delivery = deliveries_from([KafkaRecord(0, 11, value)])[0]

    assert [(item.offset, item.payload) for item in delivery.quarantined] == [(11, value)]
    assert delivery.received == []
