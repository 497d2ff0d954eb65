"""Watches on a stock in memory: what they are sent and when, and what is read for them."""

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_RECORDED
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED, SaleState

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import ReservationRead
from inventory_service.domain.sale import SaleAction, SaleRead
from tests.contract.requests import SALE, act, adjust, confirm, create, reserve
from tests.unit.inventory_service.service.watches.polled_stock import LEDGER_UNREACHABLE, UNREACHABLE, Polled

POLLS_A_SECOND = 10


async def test_the_first_message_is_the_whole_and_the_next_what_has_changed(polled: Polled) -> None:
    """Values are absolute; a poll that finds nothing new sends nothing and reads nothing."""
    await polled.make_sale()
    stream = polled.sale()
    await polled.polls(3)
    await polled.stock.memory.reserve(reserve("r-1", lamp=3))
    await polled.polls(3)

    first, second = stream.sent
    assert (first.snapshot, [item.sku for item in first.sale.items]) == (True, ["lamp", "shade"])
    assert (second.snapshot, [(item.sku, item.available, item.held) for item in second.sale.items]) == (
        False,
        [("lamp", 7, 3)],
    )
    assert (second.as_of.seq, polled.stock.reads["lamp-sale"]) == (2, 2)


async def test_a_commit_of_another_sale_causes_no_read(polled: Polled) -> None:
    """Else whenever one sale sells, all watched sales of the shard would be read."""
    other = SaleKey("default", "other")
    await polled.make_sale()
    await polled.make_sale(create(sale=other))
    stream = polled.sale()
    await polled.polls(2)
    await polled.stock.memory.reserve(reserve("r-1", sale=other))
    await polled.polls(2)

    assert (len(stream.sent), polled.stock.reads["lamp-sale"]) == (1, 1)


async def test_all_watches_of_a_sale_share_one_read(polled: Polled) -> None:
    """And each is told the same, whenever it began."""
    await polled.make_sale()
    early = [polled.sale() for _ in range(50)]
    await polled.polls(2)
    late = polled.sale()
    await polled.polls(2)

    assert polled.stock.reads["lamp-sale"] == 1
    assert [stream.sent[0].sale for stream in early] == [late.sent[0].sale] * 50


async def test_a_new_watch_is_told_what_was_done_before_it_began(polled: Polled) -> None:
    """Its snapshot comes from a poll that began after it, however old the server's view of the sale is."""
    await polled.make_sale()
    polled.stock.replies.clear()
    first = polled.sale()
    await polled.polls(2)
    await polled.stock.memory.reserve(reserve("r-1"))
    second = polled.sale()
    polled.stock.replies.set()
    await polled.polls(3)

    assert [message.sale.items[0].held for message in first.sent] == [0, 1]
    assert [message.sale.items[0].held for message in second.sent] == [1]


async def test_a_sale_is_told_to_open_and_to_end_without_a_read(polled: Polled) -> None:
    """Nothing is written at either moment."""
    now_ms = round(polled.stock.now_s * 1000)
    await polled.make_sale(create(start_time_ms=now_ms + 1000, end_time_ms=now_ms + 2000))
    stream = polled.sale()
    await polled.polls(25)

    states = [SaleState.Name(message.sale.state).removeprefix("SALE_STATE_") for message in stream.sent]
    assert states == ["SCHEDULED", "OPEN", "ENDED"]
    assert [message.until_start.ToMilliseconds() > 0 for message in stream.sent] == [True, False, False]
    assert [message.HasField("until_end") for message in stream.sent] == [True, True, False]
    assert polled.stock.reads["lamp-sale"] == 1


async def test_a_quiet_sale_is_told_at_least_each_15_seconds(polled: Polled) -> None:
    """A message without items; so a caller detects a connection that is dead."""
    await polled.make_sale()
    stream = polled.sale()
    await polled.polls(40 * POLLS_A_SECOND)

    pauses = [after - before for before, after in zip(stream.at_s, stream.at_s[1:], strict=False)]
    assert [len(message.sale.items) for message in stream.sent] == [2, 0, 0]
    assert all(13 < pause <= 15 for pause in pauses)


async def test_a_caller_that_does_not_read_has_one_message_and_then_all_that_is_newer(polled: Polled) -> None:
    """No queue grows for it; others are told meanwhile."""
    await polled.make_sale()
    slow, quick = polled.sale(), polled.sale()
    await polled.polls(2)
    slow.reads.clear()
    for number in range(20):
        await polled.stock.memory.change_sale(adjust(f"a-{number}", sku="lamp" if number % 2 else "shade"))
        await polled.polls()
    slow.reads.set()
    await polled.polls(2)

    assert (len(quick.sent), len(slow.sent)) == (21, 3)
    assert [(item.sku, item.total) for item in slow.sent[-1].sale.items] == [("lamp", 20), ("shade", 20)]


async def test_many_watches_share_a_thousand_messages_a_second(polled: Polled) -> None:
    """Each gets its share, and none is left out: what it is told later is newer."""
    await polled.make_sale()
    streams = [polled.sale() for _ in range(500)]
    await polled.polls(2 * POLLS_A_SECOND)
    before = [len(stream.sent) for stream in streams]
    for number in range(5 * POLLS_A_SECOND):
        await polled.stock.memory.change_sale(adjust(f"a-{number}"))
        await polled.polls()

    told = [len(stream.sent) - start for stream, start in zip(streams, before, strict=True)]
    assert set(before) == {1}
    assert 9 <= min(told) <= max(told) <= 11
    assert sum(told) <= 5 * 1000 + 200


async def test_a_closed_sale_ends_its_watches_once_nothing_is_held(polled: Polled) -> None:
    """After a last message with everything."""
    await polled.make_sale()
    await polled.stock.memory.reserve(reserve("r-1"))
    stream = polled.sale()
    await polled.polls(2)
    await polled.stock.memory.change_sale(act(SaleAction.CLOSE))
    await polled.polls(2)
    assert not stream.is_over
    await polled.stock.memory.move(confirm("r-1"))
    await polled.polls(2)

    assert stream.is_over
    assert [message.snapshot for message in stream.sent] == [True, False, True]
    assert [(item.sku, item.held, item.sold) for item in stream.sent[-1].sale.items] == [
        ("lamp", 0, 1),
        ("shade", 0, 0),
    ]
    assert polled.watches.open == 0


async def test_what_is_not_there_ends_the_watch_at_once(polled: Polled) -> None:
    """For a sale and for a reservation, each with the reason that a read has."""
    await polled.make_sale()
    sale, reservation = polled.sale(SaleKey("default", "none")), polled.reservation("none")
    await polled.polls(3)

    assert sale.failure is not None
    assert reservation.failure is not None
    assert sale.failure.reason == reasons.ERROR_REASON_SALE_NOT_FOUND
    assert reservation.failure.reason == reasons.ERROR_REASON_RESERVATION_NOT_FOUND


async def test_five_seconds_without_the_store_end_the_watch(polled: Polled) -> None:
    """Until then it is silent; one that begins meanwhile waits as long."""
    await polled.make_sale()
    await polled.stock.memory.reserve(reserve("r-1"))
    streams = [polled.sale(), polled.reservation("r-1")]
    await polled.polls(2)
    polled.stock.is_away = True
    await polled.polls(45)
    assert [stream.failure for stream in streams] == [None, None]
    await polled.polls(7)

    assert [stream.failure for stream in streams] == [UNREACHABLE] * 2
    assert [len(stream.sent) for stream in streams] == [1, 1]


@pytest.mark.parametrize("name", ["", "r-1"], ids=["sale", "reservation"])
async def test_the_ledger_is_asked_each_second_about_what_redis_does_not_know(polled: Polled, name: str) -> None:
    """While it is away nothing is NOT_FOUND: a watch waits for it as it waits for Redis, and is told what it knows."""
    await polled.make_sale()
    await polled.stock.memory.reserve(reserve("r-1"))
    await polled.stock.memory.move(confirm("r-1"))
    known = await (polled.stock.memory.find_reservation(SALE, name) if name else polled.stock.memory.find_sale(SALE))
    assert isinstance(known, SaleRead | ReservationRead)
    del polled.stock.memory.state().sales[SALE]
    polled.archive.is_away = True
    first = polled.reservation(name) if name else polled.sale()
    await polled.polls(45)
    assert (first.failure, polled.archive.questions) == (None, 5)
    await polled.polls(20)
    second = polled.reservation(name) if name else polled.sale()
    await polled.polls(5)
    polled.archive.is_away, polled.archive.known = False, _archived(known)
    await polled.polls(30)

    assert (first.failure, len(first.sent)) == (LEDGER_UNREACHABLE, 0)
    assert (second.failure, len(second.sent), second.is_over) == (None, 1, True)


def _archived(known: SaleRead | ReservationRead) -> SaleRead | ReservationRead:
    if isinstance(known, SaleRead):
        return known._replace(sale=known.sale._replace(state=SALE_STATE_ARCHIVED))
    return known._replace(reservation=known.reservation._replace(ledger_state=LEDGER_STATE_RECORDED))


async def test_a_store_that_is_back_in_time_ends_no_watch(polled: Polled) -> None:
    """Each is told what changed meanwhile, and a later outage has five seconds of its own."""
    await polled.make_sale()
    stream = polled.sale()
    await polled.polls(2)
    polled.stock.is_away = True
    await polled.polls(40)
    polled.stock.is_away = False
    await polled.stock.memory.reserve(reserve("r-1"))
    await polled.polls(2)
    polled.stock.is_away = True
    await polled.polls(40)

    assert stream.failure is None
    assert [item.held for item in stream.sent[-1].sale.items] == [1]


async def test_a_take_over_does_not_interrupt_a_watch(polled: Polled) -> None:
    """In a new epoch the sale is read again, for commits may be lost, and told if it is another."""
    await polled.make_sale()
    stream = polled.sale()
    await polled.polls(2)
    state = polled.stock.memory.state()
    state.epoch, state.seq = 2, 0
    await polled.polls(2)
    state.sales[SALE].items["lamp"]["available"] = 9
    state.epoch = 3
    await polled.polls(2)

    assert polled.stock.reads["lamp-sale"] >= 3
    assert [[item.available for item in message.sale.items] for message in stream.sent] == [[10, 10], [9]]


async def test_reads_have_a_budget_and_each_sale_its_turn(polled: Polled) -> None:
    """Twenty thousand items a second: 40 sales of 1000 items that all change are read twice in four seconds."""
    keys = [SaleKey("default", f"sale-{number}") for number in range(40)]
    for key in keys:
        await polled.make_sale(create(sale=key, items={f"sku-{number}": 1 for number in range(1000)}))
    streams = [polled.sale(key) for key in keys]
    await polled.polls(30)
    polled.stock.reads.clear()
    for round_number in range(40):
        for key in keys:
            await polled.stock.memory.change_sale(adjust(f"a-{round_number}", sku="sku-1", sale=key))
        await polled.polls()

    reads = [polled.stock.reads[key.sale_id] for key in keys]
    assert {len(stream.sent[0].sale.items) for stream in streams} == {1000}
    assert 2 <= min(reads) <= max(reads) <= 3


async def test_an_idle_server_polls_nothing(polled: Polled) -> None:
    """The loop ends with the last watch, and begins again with the next."""
    await polled.make_sale()
    stream = polled.sale()
    await polled.polls(2)
    await stream.close()
    await polled.polls(2)
    polls = polled.stock.reads["polls"]
    await polled.polls(5)
    assert (polled.stock.reads["polls"], polled.is_polling) == (polls, False)

    again = polled.sale()
    await polled.polls(2)

    assert len(again.sent) == 1
