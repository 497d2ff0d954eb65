"""The ledger of a server for tests: it refuses what the test names, and can be held back."""

import pytest
from holdfast.blocking import BlockingClient
from holdfast.errors import HoldfastError, WrongDeadLetterState
from holdfast.messages import DeadLetterState, LedgerState, ReservationState, held
from holdfast.testing import InventoryServer

PENDING, RECORDED = LedgerState.LEDGER_STATE_PENDING, LedgerState.LEDGER_STATE_RECORDED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED


def test_a_new_order_is_refused_and_its_units_are_given_back(server: InventoryServer, shop: BlockingClient) -> None:
    """Reserve grants it, as a real server would; a moment later it is COMPENSATED, with a dead letter."""
    server.refuse("lamps", "r-1", "a bad address")

    answer = shop.reserve("lamps", "r-1", "ann", {"lamp": 3}, reference="order-1")
    found = shop.get_reservation("lamps", "r-1").reservation
    [letter] = shop.list_dead_letters(sale_id="lamps")

    assert held(answer)
    assert (found.state, found.note) == (COMPENSATED, "a bad address")
    assert found.ledger_state == LedgerState.LEDGER_STATE_REFUSED
    assert (letter.state, letter.detail) == (DeadLetterState.DEAD_LETTER_STATE_SETTLED, "a bad address")
    assert shop.get_sale("lamps").sale.items[0].available == 10
    assert shop.audit_sale("lamps").consistent


def test_a_hold_that_was_recorded_is_refused_when_it_is_confirmed(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """Its dead letter has what had been sold, and a replay sells that at once."""
    shop.reserve("lamps", "r-1", "ann", {"lamp": 3})
    server.refuse("lamps", "r-1")

    shop.confirm("lamps", "r-1")
    [letter] = shop.list_dead_letters()
    replayed = shop.replay_dead_letter(letter.dead_letter_id, "r-2")

    assert shop.get_reservation("lamps", "r-1").reservation.state == COMPENSATED
    assert [(line.sku, line.quantity) for line in letter.sold] == [("lamp", 3)]
    assert replayed.outcome.reservation.state == ReservationState.RESERVATION_STATE_CONFIRMED
    assert [item.sold for item in shop.get_sale("lamps").sale.items] == [3]
    assert shop.audit_sale("lamps").consistent


def test_what_was_sold_and_recorded_cannot_be_refused(server: InventoryServer, shop: BlockingClient) -> None:
    """No ledger takes its word back."""
    shop.reserve("lamps", "r-1", "ann", {"lamp": 1})
    shop.confirm("lamps", "r-1")

    with pytest.raises(ValueError, match="recorded r-1 already"):
        server.refuse("lamps", "r-1")


def test_a_ledger_that_is_held_back_has_nothing_of_what_happens(server: InventoryServer, shop: BlockingClient) -> None:
    """Reads say PENDING, lists lack it and say since when, and an audit does not end in time."""
    shop.reserve("lamps", "r-1", "ann", {"lamp": 1})
    recorded_at = server.now
    with server.ledger_held_back():
        server.advance(seconds=5)
        shop.reserve("lamps", "r-2", "ann", {"lamp": 1})
        server.advance(seconds=5)
        pending = shop.get_reservation("lamps", "r-2").reservation.ledger_state
        [page] = shop.list_reservations(sale_id="lamps").pages()
        message = next(iter(shop.watch_sale("lamps")))
        with pytest.raises(HoldfastError):
            shop.with_options(timeout_s=0.3).audit_sale("lamps")

    assert pending == PENDING
    assert [each.reservation_id for each in page.reservations] == ["r-1"]
    assert page.complete_time.ToMilliseconds() == round(recorded_at.timestamp() * 1000)
    assert message.ledger_lag.seconds == 5
    assert shop.get_reservation("lamps", "r-2").reservation.ledger_state == RECORDED
    assert [each.reservation_id for each in shop.list_reservations(sale_id="lamps")] == ["r-2", "r-1"]


def test_an_order_that_its_caller_ended_first_needs_no_compensation(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """Its end is recorded, and what its caller gave back is not reserved anew."""
    server.refuse("lamps", "r-1")
    with server.ledger_held_back():
        shop.reserve("lamps", "r-1", "ann", {"lamp": 1})
        shop.release("lamps", "r-1")

    [letter] = shop.list_dead_letters(states=[DeadLetterState.DEAD_LETTER_STATE_SETTLED])
    [listed] = shop.list_reservations(sale_id="lamps")

    assert letter.reservation_state == listed.state == ReservationState.RESERVATION_STATE_RELEASED
    assert listed.ledger_state == RECORDED
    assert shop.audit_sale("lamps").consistent
    with pytest.raises(WrongDeadLetterState):
        shop.replay_dead_letter(letter.dead_letter_id, "r-2")


def test_the_order_of_a_blocked_buyer_is_refused_when_it_is_confirmed(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """A hold from before the block may still be confirmed, and is then given back."""
    shop.reserve("lamps", "r-1", "bot", {"lamp": 1})
    server.advance(seconds=1)
    shop.block_buyer("bot", "buys everything")

    shop.confirm("lamps", "r-1")
    [letter] = shop.list_dead_letters()

    assert letter.detail == "the buyer is blocked: buys everything"
    assert shop.get_reservation("lamps", "r-1").reservation.state == COMPENSATED


def test_an_id_that_left_the_stock_is_refused_when_it_is_used_again(
    server: InventoryServer, shop: BlockingClient
) -> None:
    """The ledger knows the first order of that id, and answers for it from then on."""
    shop.reserve("lamps", "r-1", "ann", {"lamp": 1})
    shop.confirm("lamps", "r-1")
    server.advance(days=2)

    granted = shop.reserve("lamps", "r-1", "ann", {"lamp": 1})

    assert not granted.replayed
    assert shop.get_reservation("lamps", "r-1").reservation.state == ReservationState.RESERVATION_STATE_CONFIRMED
    assert [item.sold for item in shop.get_sale("lamps").sale.items] == [1]
    assert shop.audit_sale("lamps").consistent
