"""How a StreamReserve ends: with which status, and with nothing left behind."""

import asyncio

import pytest
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.rpc.calls import stream_reserve
from inventory_service.rpc.middleware import UNPARSABLE
from inventory_service.rpc.slots import STREAM_SLOTS
from tests.unit.inventory_service.rpc.reserve_requests import Served, ToldStock, request, sold_out
from tests.unit.inventory_service.rpc.reserve_streams import OVERLOADED, Stream, held_back, nothing_is_left
from tests.waiting import eventually


async def test_unreadable_bytes_end_the_stream_after_the_answers_before_them() -> None:
    """No number can be read from them, so nothing after them can be told apart."""
    slow, served = held_back(), Served(stock := ToldStock())
    stock.answers["slow"] = slow
    stream = Stream(served)

    stream.send("slow", "fast")
    stream.send_raw(UNPARSABLE)
    stream.send("after")
    await eventually(lambda: stream.numbers == [1])
    slow.set_result(sold_out(1))

    assert (await stream.call, stream.numbers) == ("UNREADABLE", [1, 0])
    assert stock.asked_ids == ["slow", "fast"]
    assert nothing_is_left(served)


class LifeOfATest:
    """Is over when the test says so."""

    def __init__(self) -> None:
        self.ends = asyncio.Event()

    async def over(self) -> None:
        await self.ends.wait()

    async def out_of_time(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("why", ["drain", "age"])
async def test_a_stream_whose_life_is_over_answers_what_it_has_read(why: str) -> None:
    """So that what is not answered was not judged, and the caller may ask another server."""
    slow, life, served = held_back(), LifeOfATest(), Served(stock := ToldStock())
    stock.answers["slow"] = slow
    if why == "age":
        served.servicer._life = life  # type: ignore[assignment]  # it has the same methods
    stream = Stream(served)
    stream.send("slow")
    await eventually(lambda: stock.asked_ids == ["slow"])

    drain = asyncio.ensure_future(served.middleware.drain(within_s=60.0)) if why == "drain" else None
    life.ends.set()
    await eventually(lambda: has_stopped_reading(stream))
    assert not stream.call.done()
    slow.set_result(sold_out(1))

    assert await stream.call == "SERVER_DRAINING"
    assert sorted(stream.numbers) == sorted(
        int(name.removeprefix("late-").replace("slow", "0")) for name in stock.asked_ids
    )
    assert drain is None or await drain
    assert nothing_is_left(served)


def has_stopped_reading(stream: Stream) -> bool:
    """A message that is sent now is not taken."""
    if not stream._sent.qsize():
        number = stream.taken
        stream.send_raw(calls.StreamReserveRequest(correlation_id=number, request=request(f"late-{number}")))
        return False
    return True


async def test_a_message_that_no_queue_takes_is_left_unanswered_when_the_server_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was not judged, which is what SERVER_DRAINING says; also after the caller has half-closed."""
    monkeypatch.setattr(stream_reserve, "AGAIN_S", 0.0)
    served = Served(stock := ToldStock(r=OVERLOADED))
    stream = Stream(served)
    stream.send("r")
    stream.half_close()
    await eventually(lambda: len(stock.asked) > 3)

    assert await served.middleware.drain(within_s=60.0)

    assert (await stream.call, stream.answers) == ("SERVER_DRAINING", [])
    assert nothing_is_left(served)


@pytest.mark.parametrize("held", ["judgement", "reading of the answers"])
async def test_a_stream_that_a_drain_does_not_wait_for_has_an_unknown_outcome(held: str) -> None:
    """What was sent to Redis may have been judged."""
    served = Served(stock := ToldStock())
    stream = Stream(served)
    if held == "judgement":
        stock.answers["r"] = held_back()
    else:
        stream.reads.clear()
    stream.send("r")
    await eventually(lambda: stock.asked_ids == ["r"])

    assert not await served.middleware.drain(within_s=0.01)

    assert await stream.call == "OUTCOME_UNKNOWN"
    assert nothing_is_left(served)


async def test_an_aged_stream_does_not_wait_long_for_a_caller_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its connection's grace would end it without a reason."""
    monkeypatch.setattr("inventory_service.rpc.stream_life.ANSWER_S", 0.01)
    served = Served(ToldStock(), shortest_s=0.01, longest_s=0.01)
    stream = Stream(served)
    stream.reads.clear()
    stream.send("r")

    assert await stream.call == "OUTCOME_UNKNOWN"
    assert nothing_is_left(served)


@pytest.mark.parametrize("where", ["judging", "writing", "waiting for a slot", "reading"])
async def test_a_caller_that_cancels_leaves_nothing_behind(where: str) -> None:
    """gRPC cancels the call; what was not sent to Redis is dropped."""
    served = Served(stock := ToldStock())
    stream = Stream(served)
    answer = held_back()
    if where == "judging":
        stock.answers["r-1"] = answer
    elif where == "writing":
        stream.reads.clear()
    elif where == "waiting for a slot":
        served.servicer._stream_slots._in_use = STREAM_SLOTS
    if where != "reading":
        stream.send("r-1", "r-2", "r-3")
        await eventually(lambda: stream.taken)
    for _ in range(10):
        await asyncio.sleep(0)

    stream.call.cancel()
    await asyncio.wait([stream.call])

    assert nothing_is_left(served)
    assert answer.cancelled() is (where == "judging")
    assert served.meter.codes == ["CANCELLED"]


async def test_a_peer_that_is_gone_when_an_answer_is_written_ends_the_stream() -> None:
    """gRPC may say so before it cancels the call: that is no bug of the server."""
    served = Served(stock := ToldStock())
    stock.answers["slow"] = held_back()
    stream = Stream(served)
    stream.is_gone = True

    stream.send("slow", "fast")
    await asyncio.wait([stream.call])

    assert stream.call.cancelled()
    assert served.meter.codes == ["CANCELLED"]
    assert nothing_is_left(served)
