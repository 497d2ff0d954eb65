"""Compares the responses to the buyers with what the service and the ledger hold afterwards, unit by unit; no I/O."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import Item

from holdfast_embedded.demo.buyer_results import Acknowledged
from holdfast_embedded.demo.ledger_reader import LedgerItem, LedgerReservation

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED


class FinalState(NamedTuple):
    """Everything that is compared, by reservation id where it is about reservations."""

    units: int  # the number of units put on sale
    acknowledged: Mapping[str, Acknowledged]  # from the last response to each buyer
    states: Mapping[str, int]  # from GetReservation
    item: Item  # from GetSale
    ledger_reservations: Mapping[str, LedgerReservation]
    ledger_item: LedgerItem


def find_faults(final: FinalState) -> list[str]:
    """Return a sentence for each difference; none if nothing is oversold, lost or doubled."""
    return [*_lost_or_changed(final), *_unacknowledged(final), *_wrong_sums(final)]


def _lost_or_changed(final: FinalState) -> Iterator[str]:
    """Every acknowledged reservation is in an allowed state, and the same in Redis and in the ledger."""
    for name, expected in final.acknowledged.items():
        state, row = final.states.get(name), final.ledger_reservations.get(name)
        if state not in _allowed_states(expected):
            yield f"{name} was acknowledged {_state_name(expected.state)} and is {_state_name(state)}"
        if row is None:
            yield f"{name} was acknowledged {_state_name(expected.state)} and is not in the ledger"
        elif row.state != _state_name(state) or row.units != expected.units:
            redis = f"{_state_name(state)} with {expected.units} units"
            yield f"{name} is {redis}, in the ledger {row.state} with {row.units}"


def _allowed_states(expected: Acknowledged) -> tuple[int, ...]:
    """A hold that was neither confirmed nor released expires, and no reservation of a blocked buyer stays confirmed."""
    end = EXPIRED if expected.state == HELD else expected.state
    if not expected.blocked:
        return (end,)
    return (COMPENSATED,) if end == CONFIRMED else (COMPENSATED, end)


def _unacknowledged(final: FinalState) -> Iterator[str]:
    """The ledger has no other reservations: each call was repeated until its response came."""
    for name in final.ledger_reservations.keys() - final.acknowledged.keys():
        yield f"{name} is in the ledger and was never acknowledged"


def _wrong_sums(final: FinalState) -> Iterator[str]:
    """The units add up, and those sold are the confirmed units of the buyers."""
    confirmed = sum(
        expected.units for name, expected in final.acknowledged.items() if final.states.get(name) == CONFIRMED
    )
    for count, sold in _sold_counts(final).items():
        if sold != confirmed:
            yield f"{sold} units are {count}, and {confirmed} are the buyers'"
    if confirmed > final.units:
        yield f"{confirmed} units were sold of {final.units}: oversold"
    item = final.item
    if (item.available + item.sold, item.held) != (final.units, 0):
        yield f"Redis has {item.available} available, {item.held} held, {item.sold} sold of {final.units}"
    if final.ledger_item != (final.units, final.units - confirmed, 0, confirmed, 0):
        yield f"the ledger's item does not add up: {final.ledger_item}"


def _sold_counts(final: FinalState) -> dict[str, int]:
    """Return the three independent counts of the units sold."""
    return {
        "sold by Redis' count": final.item.sold,
        "sold by the ledger's count": final.ledger_item.sold,
        "confirmed in the ledger's rows": sum(row.confirmed for row in final.ledger_reservations.values()),
    }


def _state_name(state: int | None) -> str:
    return "missing" if state is None else ReservationState.Name(state).removeprefix("RESERVATION_STATE_")
