"""The checker of the recoveries finds what it is there to find; it needs no server."""

from dataclasses import replace
from hashlib import sha1

import pytest
from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, Event, ReservationChange, SaleMade
from holdfast.inventory.v1.reservation_pb2 import Line, ReservationState
from holdfast.inventory.v1.sale_pb2 import Item as ProtoItem
from holdfast.inventory.v1.sale_pb2 import Sale

from tests.faults.independent_checker import Told, find_violations
from tests.faults.recovery.load import Answer
from tests.faults.recovery.stored import STATES, Commit, Head, InLedger, InRedis, Item, Reservation

SALE, SKU, UNITS = "sale", "lamp", 3
HELD, CONFIRMED = ReservationState.RESERVATION_STATE_HELD, ReservationState.RESERVATION_STATE_CONFIRMED


def change(reservation_id: str, state: ReservationState, revision: int) -> Event:
    """A change of a reservation of one unit."""
    claim = Claim(sale_id=SALE, reservation_id=reservation_id, buyer_id="ann", lines=[Line(sku=SKU, quantity=1)])
    return Event(reservation=ReservationChange(claim=claim, state=state, revision=revision))


OPENED = Event(sale_made=SaleMade(sale=Sale(sale_id=SALE, items=[ProtoItem(sku=SKU, total=UNITS)])))
ONE_SOLD = [OPENED, change("r-1", HELD, 1), change("r-1", CONFIRMED, 2)]


def answers(events: list[Event]) -> list[Answer]:
    """What callers were told of these events, each a commit of its own."""
    changes = {seq: event.reservation for seq, event in enumerate(events, start=1) if event.HasField("reservation")}
    return [
        Answer(SALE, made.claim.reservation_id, "ann", ((SKU, 1),), made.state, made.revision, 0, 7, seq, 0)
        for seq, made in changes.items()
    ]


def stores(events: list[Event]) -> tuple[InRedis, InLedger]:
    """Both stores as these events, each a commit of its own, leave them."""
    journal: list[Commit] = []
    for seq, event in enumerate(events, start=1):
        payload = CommitBody(time_ms=seq, events=[event]).SerializeToString()
        digest = sha1((journal[-1].hash if journal else "").encode() + payload).hexdigest()
        journal.append(Commit(0, 7, seq, digest, payload))
    latest = {answer.key: answer for answer in answers(events)}
    reservations = {
        key: Reservation(STATES[told.state], told.revision, "ann", told.units, told.epoch, told.seq, 0)
        for key, told in latest.items()
    }
    held, sold = (sum(one.state == state for one in reservations.values()) for state in ("HELD", "CONFIRMED"))
    item, heads = Item(UNITS, UNITS - held - sold, held, sold, 0), {0: Head(7, len(events), journal[-1].hash)}
    redis = InRedis(heads, {}, {0: 0}, {(SALE, SKU): item[1:4]}, dict(reservations))
    redis.buyers = {(SALE, "ann"): (held, sold)} if reservations else {}
    redis.expiring = {key for key, one in reservations.items() if one.state == "HELD"}
    return redis, InLedger(heads, {}, {(SALE, SKU): item}, reservations, journal, set(), set(), 0)


def told(answered: list[Answer], surviving: bool = False, may_lose: bool = False) -> Told:
    """What callers were told, all of which the ledger had recorded; of the stores none has it, or one."""
    commits = {answer.commit for answer in answered}
    return Told(answered, commits, commits if surviving else set(), may_lose, blocked="")


def test_stores_that_agree_with_each_other_and_with_callers_are_in_order() -> None:
    """Nothing is found where nothing is wrong."""
    assert find_violations(*stores(ONE_SOLD), told(answers(ONE_SOLD), surviving=True), []) == []


def test_a_recorded_order_that_is_gone_is_lost_in_silence() -> None:
    """Both stores agree, and neither has the confirmed order any more."""
    found = find_violations(*stores(ONE_SOLD[:1]), told(answers(ONE_SOLD)), [])

    assert [line.partition(":")[0] for line in found] == ["lost in silence"] * 2


@pytest.mark.parametrize("how", ["orphan", "epoch"])
def test_a_loss_that_the_ledger_tells_is_not_silent(how: str) -> None:
    """An orphan names the change; an epoch that began at an earlier commit says that commits were lost there."""
    redis, ledger = stores(ONE_SOLD[:1])
    if how == "orphan":
        ledger.orphans = {(0, 7, seq, 0) for seq in (2, 3)}
    else:
        ledger.losses = {(0, 8, 7, 1)}

    assert find_violations(redis, ledger, told(answers(ONE_SOLD), surviving=True, may_lose=True), []) == []


def test_a_loss_without_consent_is_found_even_if_it_is_told() -> None:
    """A store still had the order, and the loss was not accepted by `--accept-loss`."""
    redis, ledger = stores(ONE_SOLD[:1])
    ledger.losses = {(0, 8, 7, 1)}

    found = find_violations(redis, ledger, told(answers(ONE_SOLD), surviving=True), [])

    assert [line.partition(":")[0] for line in found] == ["lost, although a store has it"] * 2


def test_a_unit_that_is_sold_twice_is_found() -> None:
    """More reservations are confirmed than there are units, and both stores agree on it."""
    sold = [OPENED, *(change(f"r-{number}", CONFIRMED, 1) for number in range(UNITS + 1))]

    found = find_violations(*stores(sold), told(answers(sold)), [])

    assert any("oversold" in line for line in found)
    assert any(f"{UNITS + 1} units were sold of {UNITS}" in line for line in found)


def test_a_redis_that_offers_a_sold_unit_is_found() -> None:
    """Its stock, its buyers and its records are each compared with the journal."""
    redis, ledger = stores(ONE_SOLD)
    redis.items[SALE, SKU] = (UNITS, 0, 0)
    redis.buyers.clear()
    redis.reservations[SALE, "r-1"] = replace(redis.reservations[SALE, "r-1"], state="RELEASED")

    assert len(find_violations(redis, ledger, told([]), [])) == 3


def test_a_commit_that_is_missing_breaks_the_chain() -> None:
    """The journal lacks one in the middle, whatever its rows say."""
    redis, ledger = stores(ONE_SOLD)
    del ledger.journal[1]

    assert any("does not follow" in line for line in find_violations(redis, ledger, told([]), []))
