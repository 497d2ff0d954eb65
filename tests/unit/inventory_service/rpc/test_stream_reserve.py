"""StreamReserve: what is read, when it is answered, and with what."""

import asyncio

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.results import Failure
from inventory_service.rpc.calls import stream_reserve
from inventory_service.rpc.calls.stream_reserve import WINDOW
from inventory_service.rpc.slots import STREAM_SLOTS
from tests.inventory_server import status_error
from tests.unit.inventory_service.rpc.reserve_requests import Served, ToldStock, request, sold_out, with_unknown_field
from tests.unit.inventory_service.rpc.reserve_streams import OVERLOADED, Stream, held_back, nothing_is_left
from tests.waiting import eventually


async def test_each_message_is_answered_under_its_number_in_the_order_of_judgement() -> None:
    """Not in that of their arrival: a slow shard holds back its own requests alone."""
    slow, served = held_back(), Served(stock := ToldStock())
    stock.answers |= {"slow": slow, "fast": sold_out(2)}
    stream = Stream(served)

    for number, name in ((-1, "slow"), (2**62, "fast")):
        stream.send_raw(calls.StreamReserveRequest(correlation_id=number, request=request(name)))
    await eventually(lambda: stream.numbers == [2**62])
    assert served.middleware.slots.in_use == 1  # the slow one's
    slow.set_result(sold_out(1))
    stream.half_close()

    assert (await stream.call, stream.numbers) == ("OK", [2**62, -1])
    assert stream.answers[1].result.response.read_time.ToMilliseconds() == 1
    assert (len(served.outcomes.reserves), served.meter.codes) == (2, ["OK"])
    assert nothing_is_left(served)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (calls.StreamReserveRequest(correlation_id=7), "FIELD_OUT_OF_BOUNDS"),
        (calls.StreamReserveRequest(correlation_id=7, request=request("r", 0)), "FIELD_OUT_OF_BOUNDS"),
        (calls.StreamReserveRequest(correlation_id=7, request=with_unknown_field(request("r"))), "UNKNOWN_FIELD"),
        (with_unknown_field(calls.StreamReserveRequest(correlation_id=7, request=request("r"))), "UNKNOWN_FIELD"),
        (calls.StreamReserveRequest(correlation_id=7, request=request("r")), "SALE_NOT_FOUND"),
    ],
    ids=["no request", "out of bounds", "unknown field in the request", "unknown field beside it", "not judged"],
)
async def test_what_cannot_be_judged_is_answered_with_the_status_that_reserve_would_have(
    sent: calls.StreamReserveRequest, reason: str
) -> None:
    """Under its number; the stream goes on."""
    served = Served(ToldStock(r=Failure(reasons.ERROR_REASON_SALE_NOT_FOUND)))
    stream = Stream(served)

    stream.send_raw(sent)
    await eventually(lambda: stream.numbers == [7])
    stream.send("another")
    stream.half_close()

    assert (await stream.call, len(stream.answers)) == ("OK", 2)
    status = stream.answers[0].result.status
    assert status_error(status).reason == reason
    as_reserve = sent.request if reason != "UNKNOWN_FIELD" else with_unknown_field(request("r"))
    assert status == await served.status("Reserve", as_reserve)


async def test_at_most_256_messages_are_read_and_not_written() -> None:
    """A caller that sends and never reads costs the memory of so many, and no more."""
    served = Served(ToldStock())
    stream = Stream(served)
    stream.reads.clear()

    stream.send(*(f"r-{n}" for n in range(WINDOW + 100)))
    await eventually(lambda: len(served.outcomes.reserves) == WINDOW == stream.taken)
    await eventually(lambda: served.middleware.slots.in_use == 0)  # held to the judgement, not to the writing
    for _ in range(10):
        await asyncio.sleep(0)
    assert stream.taken == WINDOW
    stream.reads.set()
    stream.half_close()

    assert (await stream.call, len(stream.answers)) == ("OK", WINDOW + 100)
    assert nothing_is_left(served)


async def test_reading_stops_while_the_slots_of_streams_are_used_up() -> None:
    """They have half of all in common; what waits is judged once another stream's message has been."""
    first, served = held_back(), Served(stock := ToldStock())
    stock.answers["first"] = first
    served.servicer._stream_slots._in_use = STREAM_SLOTS - 1
    streams = [Stream(served), Stream(served)]

    streams[0].send("first")
    await eventually(lambda: stock.asked_ids == ["first"])
    streams[1].send("second", "third")
    await eventually(lambda: streams[1].taken == 1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert (streams[1].taken, stock.asked_ids) == (1, ["first"])
    first.set_result(sold_out(1))

    await eventually(lambda: stock.asked_ids == ["first", "second", "third"])
    for stream in streams:
        stream.half_close()
    assert [await stream.call for stream in streams] == ["OK", "OK"]
    assert nothing_is_left(served)


async def test_a_stream_never_hears_that_a_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads no further meanwhile, and asks again."""
    monkeypatch.setattr(stream_reserve, "AGAIN_S", 0.0)
    served = Served(stock := ToldStock(r=OVERLOADED))
    stream = Stream(served)
    stream.send("r")
    stream.half_close()
    await eventually(lambda: len(stock.asked) > 3)

    stock.answers["r"] = sold_out(1)

    assert (await stream.call, len(stream.answers), len(served.outcomes.reserves)) == ("OK", 1, 1)
    assert nothing_is_left(served)


@pytest.mark.parametrize("turns", range(4))
async def test_a_message_that_is_cancelled_before_it_is_judged_gives_its_slot_back(turns: int) -> None:
    """Also where a second cancellation, as gRPC's after a failed write, comes while the stream closes."""
    served = Served(stock := ToldStock(r=held_back()))
    stream = Stream(served)
    stream.send("r")
    await eventually(lambda: stock.asked_ids == ["r"])

    stream.call.cancel()
    for _ in range(turns):  # of the event loop
        await asyncio.sleep(0)
    stream.call.cancel()
    await asyncio.gather(stream.call, return_exceptions=True)

    await eventually(lambda: nothing_is_left(served))


async def test_a_bug_in_one_message_leaves_its_outcome_unknown_and_the_stream_alive() -> None:
    """As of a Reserve."""
    served = Served(ToldStock(r=KeyError("a bug")))
    stream = Stream(served)

    stream.send("r", "other")
    stream.half_close()

    assert (await stream.call, sorted(stream.numbers)) == ("OK", [0, 1])
    assert [answer.result.WhichOneof("result") for answer in stream.answers] == ["status", "response"]
