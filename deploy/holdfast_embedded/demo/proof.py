"""Pure: holds what the buyers were told against what the service and the ledger say afterwards, unit by unit."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import Item

from holdfast_embedded.demo.books import Balance, Row
from holdfast_embedded.demo.tally import Claim

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
EXPIRED = ReservationState.RESERVATION_STATE_EXPIRED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED


class Evidence(NamedTuple):
    """Everything that is compared."""

    units: int  # what was put on sale
    claims: Mapping[str, Claim]  # what the buyers were told last
    states: Mapping[str, int]  # what GetReservation says afterwards
    item: Item  # what GetSale says afterwards
    rows: Mapping[str, Row]  # what the ledger has
    balance: Balance


def find_faults(evidence: Evidence) -> list[str]:
    """Every broken promise in a sentence; none if nothing is oversold, lost or doubled."""
    return [*_lost_or_changed(evidence), *_unknown_rows(evidence), *_wrong_sums(evidence)]


def _lost_or_changed(evidence: Evidence) -> Iterator[str]:
    """Every claim must stand where it was promised to stand, in Redis and in the ledger alike."""
    for name, claim in evidence.claims.items():
        state, row = evidence.states.get(name), evidence.rows.get(name)
        if state not in _rightful_ends(claim):
            yield f"{name} was acknowledged {_word(claim.state)} and is {_word(state)}"
        if row is None:
            yield f"{name} was acknowledged {_word(claim.state)} and is not in the ledger"
        elif row.state != _word(state) or row.units != claim.units:
            yield f"{name} is {_word(state)} with {claim.units} units, in the ledger {row.state} with {row.units}"


def _rightful_ends(claim: Claim) -> tuple[int, ...]:
    """What may have become of a claim: a hold that nobody settled expires, and a blocked buyer keeps nothing."""
    end = EXPIRED if claim.state == HELD else claim.state
    if not claim.blocked:
        return (end,)
    return (COMPENSATED,) if end == CONFIRMED else (COMPENSATED, end)


def _unknown_rows(evidence: Evidence) -> Iterator[str]:
    """The ledger has no order that no buyer was told of: each call was repeated until it was answered."""
    for name in evidence.rows.keys() - evidence.claims.keys():
        yield f"{name} is in the ledger and was never acknowledged"


def _wrong_sums(evidence: Evidence) -> Iterator[str]:
    """Units are neither made nor lost, and are sold to those who were told so."""
    item, balance = evidence.item, evidence.balance
    promised = sum(claim.units for name, claim in evidence.claims.items() if evidence.states.get(name) == CONFIRMED)
    sums = {
        "sold by Redis' count": item.sold,
        "sold by the ledger's count": balance.sold,
        "confirmed in the ledger's rows": sum(row.confirmed for row in evidence.rows.values()),
    }
    for name, sold in sums.items():
        if sold != promised:
            yield f"{sold} units are {name}, and {promised} are the buyers'"
    if promised > evidence.units:
        yield f"{promised} units were sold of {evidence.units}: oversold"
    if (item.available + item.sold, item.held) != (evidence.units, 0):
        yield f"Redis has {item.available} available, {item.held} held, {item.sold} sold of {evidence.units}"
    if balance != (evidence.units, evidence.units - promised, 0, promised, 0):
        yield f"the ledger's balance does not add up: {balance}"


def _word(state: int | None) -> str:
    return "missing" if state is None else ReservationState.Name(state).removeprefix("RESERVATION_STATE_")
