"""The demo's verification passes a correct sale and names every kind of fault."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import Item
from holdfast_embedded.demo.buyer_results import Acknowledged
from holdfast_embedded.demo.ledger_reader import LedgerItem, LedgerReservation
from holdfast_embedded.demo.verification import FinalState, find_faults

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
RELEASED = ReservationState.RESERVATION_STATE_RELEASED
EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED

CORRECT = FinalState(
    units=10,
    acknowledged={
        "bought": Acknowledged("bought", "ada", 3, False, CONFIRMED),
        "returned": Acknowledged("returned", "bob", 2, False, RELEASED),
        "abandoned": Acknowledged("abandoned", "cyd", 1, False, HELD),
        "refused": Acknowledged("refused", "bot", 2, True, CONFIRMED),
    },
    states={"bought": CONFIRMED, "returned": RELEASED, "abandoned": EXPIRED, "refused": COMPENSATED},
    item=Item(sku="lamp", total=10, available=7, sold=3),
    ledger_reservations={
        "bought": LedgerReservation("CONFIRMED", 3, 3),
        "returned": LedgerReservation("RELEASED", 2, 0),
        "abandoned": LedgerReservation("EXPIRED", 1, 0),
        "refused": LedgerReservation("COMPENSATED", 2, 0),
    },
    ledger_item=LedgerItem(total=10, available=7, held=0, sold=3, refused=0),
)


def without_row(final: FinalState) -> FinalState:
    rows = {name: row for name, row in final.ledger_reservations.items() if name != "bought"}
    return final._replace(ledger_reservations=rows)


def with_state(name: str, state: int) -> Callable[[FinalState], FinalState]:
    return lambda final: final._replace(states={**final.states, name: state})


def with_row(name: str, row: LedgerReservation) -> Callable[[FinalState], FinalState]:
    return lambda final: final._replace(ledger_reservations={**final.ledger_reservations, name: row})


def test_a_correct_sale_has_no_faults() -> None:
    """Bought, given back, abandoned and refused: each reservation is in a state that is allowed."""
    assert find_faults(CORRECT) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        pytest.param(without_row, "bought was acknowledged CONFIRMED and is not in the ledger", id="lost"),
        pytest.param(with_state("bought", EXPIRED), "bought was acknowledged CONFIRMED and is EXPIRED", id="changed"),
        pytest.param(with_state("refused", CONFIRMED), "refused was acknowledged CONFIRMED", id="blocked-but-sold"),
        pytest.param(
            with_row("bought", LedgerReservation("CONFIRMED", 4, 4)), "in the ledger CONFIRMED with 4", id="other-units"
        ),
        pytest.param(
            with_row("unknown", LedgerReservation("HELD", 1, 0)), "unknown is in the ledger and was never", id="unknown"
        ),
        pytest.param(
            lambda final: final._replace(item=Item(sku="lamp", total=10, available=8, sold=3)),
            "Redis has 8 available",
            id="unit-made",
        ),
        pytest.param(
            lambda final: final._replace(ledger_item=final.ledger_item._replace(sold=2, refused=1)),
            "2 units are sold by the ledger's count, and 3 are the buyers'",
            id="ledger-differs",
        ),
        pytest.param(
            lambda final: final._replace(acknowledged={"bought": replace(final.acknowledged["bought"], units=11)}),
            "11 units were sold of 10: oversold",
            id="oversold",
        ),
    ],
)
def test_every_kind_of_fault_is_named(change: Callable[[FinalState], FinalState], fault: str) -> None:
    """A verification that cannot fail verifies nothing."""
    assert any(fault in found for found in find_faults(change(CORRECT)))
