"""The demo's own proof: it passes a clean sale and names every kind of broken promise."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import Item
from holdfast_embedded.demo.books import Balance, Row
from holdfast_embedded.demo.proof import Evidence, find_faults
from holdfast_embedded.demo.tally import Claim

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
RELEASED = ReservationState.RESERVATION_STATE_RELEASED
EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED

CLEAN = Evidence(
    units=10,
    claims={
        "bought": Claim("bought", "ada", 3, False, CONFIRMED),
        "returned": Claim("returned", "bob", 2, False, RELEASED),
        "forgotten": Claim("forgotten", "cyd", 1, False, HELD),
        "refused": Claim("refused", "bot", 2, True, CONFIRMED),
    },
    states={"bought": CONFIRMED, "returned": RELEASED, "forgotten": EXPIRED, "refused": COMPENSATED},
    item=Item(sku="lamp", total=10, available=7, sold=3),
    rows={
        "bought": Row("CONFIRMED", 3, 3),
        "returned": Row("RELEASED", 2, 0),
        "forgotten": Row("EXPIRED", 1, 0),
        "refused": Row("COMPENSATED", 2, 0),
    },
    balance=Balance(total=10, available=7, held=0, sold=3, refused=0),
)


def without_row(evidence: Evidence) -> Evidence:
    return evidence._replace(rows={name: row for name, row in evidence.rows.items() if name != "bought"})


def with_state(name: str, state: int) -> Callable[[Evidence], Evidence]:
    return lambda evidence: evidence._replace(states={**evidence.states, name: state})


def with_row(name: str, row: Row) -> Callable[[Evidence], Evidence]:
    return lambda evidence: evidence._replace(rows={**evidence.rows, name: row})


def test_a_clean_sale_has_no_faults() -> None:
    """Bought, given back, forgotten and refused: each ended where it should."""
    assert find_faults(CLEAN) == []


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        pytest.param(without_row, "bought was acknowledged CONFIRMED and is not in the ledger", id="lost"),
        pytest.param(with_state("bought", EXPIRED), "bought was acknowledged CONFIRMED and is EXPIRED", id="changed"),
        pytest.param(with_state("refused", CONFIRMED), "refused was acknowledged CONFIRMED", id="blocked-but-sold"),
        pytest.param(with_row("bought", Row("CONFIRMED", 4, 4)), "in the ledger CONFIRMED with 4", id="other-units"),
        pytest.param(with_row("ghost", Row("HELD", 1, 0)), "ghost is in the ledger and was never", id="unknown"),
        pytest.param(
            lambda clean: clean._replace(item=Item(sku="lamp", total=10, available=8, sold=3)),
            "Redis has 8 available",
            id="unit-made",
        ),
        pytest.param(
            lambda clean: clean._replace(balance=clean.balance._replace(sold=2, refused=1)),
            "2 units are sold by the ledger's count, and 3 are the buyers'",
            id="books-differ",
        ),
        pytest.param(
            lambda clean: clean._replace(claims={"bought": replace(clean.claims["bought"], units=11)}),
            "11 units were sold of 10: oversold",
            id="oversold",
        ),
    ],
)
def test_every_broken_promise_is_named(spoil: Callable[[Evidence], Evidence], fault: str) -> None:
    """A proof that cannot fail proves nothing."""
    assert any(fault in found for found in find_faults(spoil(CLEAN)))
