"""The batcher: in which order claims and moves go, and requests of one id."""

import asyncio
import random
from typing import Any

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.results import Failure
from inventory_service.service.batcher import Batcher
from tests.unit.inventory_service.service.manual_stock import SALE, BatcherFixture, confirm, reserve, settle


async def test_a_call_carries_moves_and_the_next_one_claims(fixture: BatcherFixture) -> None:
    """A script judges one kind alone; a call takes all waiting requests of that kind, whatever stands between them."""
    await fixture.make_busy()
    fixture.batcher.reserve(reserve("in-flight"))
    await fixture.clock.pass_ms(4)

    fixture.batcher.reserve(reserve("a"))
    fixture.batcher.move(confirm("b"))
    fixture.batcher.reserve(reserve("c"))
    fixture.batcher.move(Move(SALE, "d", MoveKind.RELEASE))
    await settle()
    await fixture.clock.pass_ms(4)
    await fixture.store.answer()
    await fixture.store.answer()

    assert fixture.store.calls[1:] == [("move", ["b", "d"]), ("reserve", ["a", "c"])]


async def test_a_move_goes_before_a_crowd_of_claims(fixture: BatcherFixture) -> None:
    """A hold that cannot be confirmed is worth nothing to its buyer: what is begun is finished first."""
    await fixture.make_busy()
    for n in range(12):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()

    fixture.batcher.move(confirm("b"))
    await fixture.store.answer()

    assert [names for _, names in fixture.store.calls] == [["r-0", "r-1", "r-2", "r-3"], ["b"]]


async def test_claims_and_moves_take_turns(fixture: BatcherFixture) -> None:
    """A crowd of moves does not keep claims out either."""
    await fixture.make_busy()
    for n in range(11):
        fixture.batcher.move(confirm(f"m-{n}"))
    for n in range(4):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await settle()

    for _ in range(3):
        await fixture.store.answer()
        await fixture.clock.pass_ms(4)

    sizes = [(kind, len(names)) for kind, names in fixture.store.calls]
    assert sizes == [("move", 1), ("reserve", 4), ("move", 8), ("move", 2)]


async def test_moves_of_a_busy_shard_are_paced_too(fixture: BatcherFixture) -> None:
    """Otherwise each of them would be a call of its own."""
    await fixture.make_busy()
    fixture.batcher.move(confirm("first"))
    await settle()
    for n in range(3):
        fixture.batcher.reserve(reserve(f"r-{n}"))
    await fixture.store.answer()

    fixture.batcher.move(confirm("second"))
    fixture.batcher.move(confirm("third"))
    await settle()
    assert fixture.store.open is None
    await fixture.clock.pass_ms(4)
    await fixture.store.answer()

    assert fixture.store.calls[1:] == [("reserve", ["r-0", "r-1", "r-2"]), ("move", ["second", "third"])]


async def test_a_claim_never_goes_before_an_earlier_move_of_its_id(fixture: BatcherFixture) -> None:
    """A Reserve after a release hears that the reservation has ended."""
    await fixture.make_busy()
    fixture.batcher.move(confirm("in-flight"))
    await settle()
    for n in range(9):  # one more than a call takes
        fixture.batcher.move(confirm(f"m-{n}"))

    fixture.batcher.reserve(reserve("m-8"))
    fixture.batcher.reserve(reserve("r-1"))
    for _ in range(4):
        await fixture.store.answer()
        await fixture.clock.pass_ms(4)

    named = [kind for kind, names in fixture.store.calls if "m-8" in names]
    assert named == ["move", "reserve"]


async def test_requests_of_one_id_keep_their_order_whatever_waits(fixture: BatcherFixture) -> None:
    """Whichever kinds they are, whatever is cancelled, and whenever calls end."""
    chance = random.Random(7)
    sent: list[tuple[str, str, Any]] = []
    for _ in range(2000):
        name, kind = f"r-{chance.randrange(5)}", chance.choice(["reserve", "move", "change"])
        if fixture.waiting() < 10:
            sent.append((kind, name, ask(fixture.batcher, kind, name)))
        if chance.random() < 0.05:
            sent.pop()[2].cancel()
        await settle()
        if fixture.store.open is not None and chance.random() < 0.7:
            await fixture.store.answer()
        if chance.random() < 0.2:
            await fixture.clock.pass_ms(4)
    while fixture.waiting() or fixture.store.open is not None:
        if fixture.store.open is not None:
            await fixture.store.answer()
        await fixture.clock.pass_ms(4)

    for name in {name for _, name, _ in sent}:
        carried_out = [kind for kind, names in fixture.store.calls for each in names if each == name]
        kept = [kind for kind, each, answer in sent if each == name and not answer.cancelled()]
        assert is_within(kept, carried_out)
    assert all(answer.done() for _, _, answer in sent)
    assert not fixture.ids_waiting()


def ask(batcher: Batcher, kind: str, name: str) -> "asyncio.Future[Any]":
    if kind == "reserve":
        return batcher.reserve(reserve(name))
    return batcher.move(confirm(name)) if kind == "move" else batcher.change_hold(ChangeHold(SALE, name, ()))


def is_within(kept: list[str], carried_out: list[str]) -> bool:
    """Whether these were carried out in this order, besides those that were cancelled after they had been sent."""
    rest = iter(carried_out)
    return all(kind in rest for kind in kept)


async def test_a_queue_full_of_claims_takes_moves(fixture: BatcherFixture) -> None:
    """A crowd of buyers must not keep another one from confirming."""
    fixture.batcher.reserve(reserve("in-flight"))
    await settle()
    for n in range(12):
        fixture.batcher.reserve(reserve(f"r-{n}"))

    refused, taken = fixture.batcher.reserve(reserve("one-more")), fixture.batcher.move(confirm("b"))

    assert (refused.result(), taken.done()) == (Failure(reasons.ERROR_REASON_OVERLOADED), False)


async def test_equal_ids_are_judged_in_the_order_of_their_arrival(fixture: BatcherFixture) -> None:
    """A reserve after a release of the same id stays after it, though others of its kind go ahead."""
    await fixture.make_busy()

    for request in ("a", "b"):
        fixture.batcher.reserve(reserve(request))
    fixture.batcher.move(Move(SALE, "a", MoveKind.RELEASE))
    fixture.batcher.reserve(reserve("a"))
    await settle()
    for _ in range(3):
        await fixture.store.answer()
        await fixture.clock.pass_ms(4)
        if fixture.store.open is None:
            break

    assert fixture.store.calls == [("reserve", ["a", "b"]), ("move", ["a"]), ("reserve", ["a"])]


async def test_a_change_of_a_hold_goes_alone_and_in_the_order_of_its_id(fixture: BatcherFixture) -> None:
    """Its script takes one; what waits of other ids goes ahead, and what comes of its own id stays after it."""
    await fixture.make_busy()
    held, other = ChangeHold(SALE, "a", (Line("sku", 1),)), ChangeHold(SALE, "b", (Line("sku", 1),))

    fixture.batcher.reserve(reserve("a"))
    fixture.batcher.change_hold(held)
    fixture.batcher.move(Move(SALE, "a", MoveKind.CONFIRM))
    fixture.batcher.reserve(reserve("c"))
    await settle()
    fixture.batcher.change_hold(other)
    while fixture.store.open is not None:
        await fixture.store.answer()
        await fixture.clock.pass_ms(4)

    assert fixture.store.calls == [("reserve", ["a", "c"]), ("change", ["a"]), ("move", ["a"]), ("change", ["b"])]
