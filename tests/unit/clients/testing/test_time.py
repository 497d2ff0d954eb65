"""The clock of a server for tests moves as the test says, and everything that time does follows."""

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from holdfast.blocking import BlockingClient
from holdfast.errors import HoldfastError
from holdfast.messages import RejectionReason, ReservationState, SaleState, held, reserve_request
from holdfast.testing import InventoryServer

EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED


def test_a_hold_runs_out_at_its_end_and_not_before(server: InventoryServer, shop: BlockingClient) -> None:
    """It lives for ten minutes, by the server's clock alone, and is taken back at the moment at which it ends."""
    reservation = shop.reserve("lamps", "r-1", "ann", {"lamp": 10}).reservation

    server.advance(timedelta(minutes=10), milliseconds=-1)
    before = shop.get_reservation("lamps", "r-1").reservation
    server.advance(minutes=5)
    after = shop.get_reservation("lamps", "r-1").reservation

    assert before.state == reservation.state == ReservationState.RESERVATION_STATE_HELD
    assert after.state == EXPIRED
    assert after.update_time == after.expire_time == reservation.expire_time
    assert shop.get_sale("lamps").sale.items[0].available == 10


def test_the_clock_begins_where_the_test_says_and_stands_still() -> None:
    """So what a test sees does not depend on the day."""
    with InventoryServer(now=datetime(2030, 1, 1, tzinfo=UTC)) as server, BlockingClient(server.address) as shop:
        shop.create_sale("lamps", {"lamp": 1})
        created = shop.get_sale("lamps").sale.create_time.ToDatetime(UTC)
        moved = server.advance(hours=1)
        read = shop.get_sale("lamps").read_time.ToDatetime(UTC)

    assert created == datetime(2030, 1, 1, tzinfo=UTC)
    assert moved == read == datetime(2030, 1, 1, 1, tzinfo=UTC)


def test_a_sale_starts_and_ends(server: InventoryServer, shop: BlockingClient) -> None:
    """By what is asked of it in between."""
    start = server.now + timedelta(hours=1)
    shop.create_sale("chairs", {"chair": 1}, start_time=start, end_time=start + timedelta(hours=1))

    early = shop.reserve("chairs", "r-1", "ann", {"chair": 1})
    server.advance(hours=1)
    granted = shop.reserve("chairs", "r-1", "ann", {"chair": 1})
    server.advance(hours=1)

    assert early.rejection.reason == RejectionReason.REJECTION_REASON_SALE_NOT_STARTED
    assert early.rejection.retry_after.ToTimedelta() == timedelta(hours=1)
    assert held(granted)
    assert shop.get_sale("chairs").sale.state == SaleState.SALE_STATE_ENDED


def test_what_is_over_for_long_leaves_the_stock_and_is_answered_by_the_ledger(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """As in a real server, a day later; a sale can then be read and not changed."""
    shop.reserve("lamps", "r-1", "ann", {"lamp": 2})
    shop.confirm("lamps", "r-1")
    shop.close_sale("lamps")

    server.advance(days=2)
    sale, sold = shop.get_sale("lamps").sale, shop.get_reservation("lamps", "r-1").reservation

    assert (sale.state, sale.items[0].sold) == (SaleState.SALE_STATE_ARCHIVED, 2)
    assert sold.state == ReservationState.RESERVATION_STATE_CONFIRMED
    assert shop.confirm("lamps", "r-1").replayed
    assert shop.audit_sale("lamps").consistent
    with pytest.raises(HoldfastError, match="ARCHIVED"):
        shop.pause_sale("lamps")


def test_a_watch_is_sent_what_time_does(server: InventoryServer, shop: BlockingClient) -> None:
    """The hold that is watched runs out; its watch ends with that."""
    shop.reserve("lamps", "r-1", "ann", {"lamp": 1})

    states = []
    for message in shop.watch_reservation("lamps", "r-1"):
        states.append(message.reservation.state)
        if len(states) == 1:
            server.advance(minutes=10)

    assert states == [ReservationState.RESERVATION_STATE_HELD, EXPIRED]


def test_a_watch_of_a_sale_is_sent_something_every_fifteen_seconds(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """Also where nothing changes, so that its caller knows that it lives."""
    began, watch = monotonic(), shop.watch_sale("lamps")
    first = next(watch)
    server.advance(seconds=15)
    second = next(watch)
    watch.close()

    assert monotonic() - began < 10
    assert (first.snapshot, second.snapshot, len(second.sale.items)) == (True, False, 0)
    assert second.read_time.ToDatetime(UTC) == server.now


def test_a_close_releases_more_holds_than_one_call_takes_back(shop: BlockingClient) -> None:
    """The rest follows by itself, as the relay of a real server does it, and the ledger has it."""
    shop.update_sale("lamps", items={"bulb": 300})
    for result in shop.batch_reserve([reserve_request("lamps", f"r-{n}", "ann", {"bulb": 1}) for n in range(250)]):
        assert not isinstance(result, HoldfastError)

    shop.close_sale("lamps", release_holds=True)
    *_, last = shop.watch_sale("lamps")

    assert [item.held for item in last.sale.items] == [0, 0]
    released = [ReservationState.RESERVATION_STATE_RELEASED]
    assert len(list(shop.list_reservations(sale_id="lamps", states=released, page_size=1000))) == 250
    assert shop.audit_sale("lamps").consistent


def test_the_clock_does_not_go_back(server: InventoryServer) -> None:
    """No server's does."""
    with pytest.raises(ValueError, match="does not go back"):
        server.advance(seconds=-1)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    """It would mean another moment on each machine."""
    with pytest.raises(ValueError, match="time zone"):
        InventoryServer(now=datetime(2030, 1, 1))  # noqa: DTZ001
