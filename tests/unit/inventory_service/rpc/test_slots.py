"""Slots: taken all or none by a batch, and by the messages of streams in the order in which they asked."""

import asyncio

from inventory_service.rpc.methods import CLAIM, SLOTS
from inventory_service.rpc.slots import STREAM_SLOTS, Slots, StreamSlots
from tests.waiting import LONG_S, eventually


def test_slots_are_taken_all_or_none() -> None:
    """A part of them would be of no use."""
    slots = Slots()

    assert slots.take(3, limit=5)
    assert not slots.take(3, limit=5)
    assert slots.take(2, limit=5)

    assert slots.in_use == 5


async def test_streams_get_half_of_the_slots_and_those_that_wait_come_in_their_order() -> None:
    """The other half is left to calls, whatever streams ask for."""
    slots = Slots()
    of_streams, came = StreamSlots(slots), list[str]()
    for _ in range(STREAM_SLOTS):
        await of_streams.take()

    async def take(name: str) -> None:
        await of_streams.take()
        came.append(name)

    waiting = [asyncio.create_task(take(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    assert (slots.in_use, came) == (SLOTS // 2, [])
    for _ in waiting:
        of_streams.give_back()
    late = asyncio.create_task(take("late"))
    await asyncio.gather(*waiting)
    assert not late.done()
    of_streams.give_back()
    await late

    assert came == ["first", "second", "third", "late"]
    assert slots.in_use == SLOTS // 2


async def test_a_stream_waits_while_calls_use_the_slots_that_a_claim_may_use() -> None:
    """What is left is for moves and operators. A call that ends tells no stream, so the stream looks."""
    slots = Slots()
    of_streams = StreamSlots(slots)
    slots.in_use = CLAIM.slots
    waiting = asyncio.create_task(of_streams.take())
    await asyncio.sleep(0)
    assert not waiting.done()

    slots.in_use -= 1
    late = asyncio.create_task(of_streams.take())  # before the other one has looked

    await asyncio.wait_for(waiting, LONG_S)
    assert (slots.in_use, late.done()) == (CLAIM.slots, False)
    slots.in_use -= 1
    await asyncio.wait_for(late, LONG_S)


async def test_one_that_no_longer_waits_is_passed_over_and_keeps_no_slot() -> None:
    """Also if its slot came in the moment of its cancellation."""
    slots = Slots()
    of_streams = StreamSlots(slots, most=1)
    await of_streams.take()
    gone, just_gone, last = (asyncio.create_task(of_streams.take()) for _ in range(3))
    await asyncio.sleep(0)

    gone.cancel()
    await asyncio.wait([gone])
    of_streams.give_back()
    just_gone.cancel()
    await asyncio.wait_for(last, LONG_S)

    assert (just_gone.cancelled(), slots.in_use) == (True, 1)
    of_streams.give_back()
    await eventually(lambda: slots.in_use == 0)
