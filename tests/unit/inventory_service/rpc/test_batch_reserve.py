"""BatchReserve: each request has the result that a Reserve of it would have had."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest
from google.rpc import status_pb2
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import Line
from structlog.testing import capture_logs

from inventory_service.domain.caller import RESERVE, Caller
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.plain_reserve import CallMoment, PlainHold
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.rpc import methods
from inventory_service.rpc.auth import current_caller
from inventory_service.rpc.calls.reserve_results import ReserveJudge
from inventory_service.rpc.methods import CLAIM
from inventory_service.service.batcher import Batcher
from inventory_service.service.many_reserves import BatchedReserves
from tests.inventory_server import status_error
from tests.unit.inventory_service.rpc.reserve_requests import (
    Served,
    ToldStock,
    request,
    sold_out,
    with_unknown_field,
)
from tests.unit.inventory_service.rpc.test_middleware import HeldBackStock
from tests.unit.inventory_service.rpc.wrapped_calls import FakeContext
from tests.waiting import eventually

REASONS = [reason for reason in ErrorReason.values() if reason]
BAD_REQUESTS = {
    "nothing": calls.ReserveRequest(),
    "every field": request("/", 0, sale_id="ö", buyer_id="x" * 65, hold_ttl={"nanos": -1}, reference="/"),
    "300 lines": request("r", lines=[Line(sku="/", quantity=-1)] * 300),
    "an unknown field": with_unknown_field(request("r")),
    "one in a line": request("r", lines=[with_unknown_field(Line(sku="lamp", quantity=1))]),
}


def times(results: list[calls.ReserveResult]) -> list[int]:
    """Which answers of `sold_out` these are."""
    return [result.response.read_time.ToMilliseconds() for result in results]


async def test_a_failure_of_the_stock_is_the_same_status_as_of_reserve() -> None:
    """Code, sentence and every detail, so that a caller handles both alike; its neighbours are answered."""
    for reason in REASONS:
        served = Served(ToldStock(r=Failure(reason, {"sku": "lamp", "clock": "9 s"})))

        before, result, after = await served.batch(request("before"), request("r"), request("after"))

        assert result.status.SerializeToString() == (await served.status("Reserve", request("r"))).SerializeToString()
        assert times([before, after]) == [1, 1]


@pytest.mark.parametrize("bad", BAD_REQUESTS)
async def test_a_bad_request_fails_alone_with_the_same_status_as_of_reserve(bad: str) -> None:
    """Paths of fields are those of the request, wherever it stands in the batch, and unknown fields count too."""
    stock = ToldStock()
    served = Served(stock)

    before, result, after = await served.batch(request("before"), BAD_REQUESTS[bad], request("after"))

    expected = await served.status("Reserve", BAD_REQUESTS[bad])
    assert result.status.SerializeToString() == expected.SerializeToString()
    assert (times([before, after]), stock.asked_ids) == ([1, 1], ["before", "after"])


async def test_results_are_in_the_order_of_the_requests_whichever_is_judged_first() -> None:
    """A caller finds its answer by position."""
    slow = asyncio.get_running_loop().create_future()
    stock = ToldStock(first=slow, second=sold_out(2), third=sold_out(3))
    answered = asyncio.ensure_future(Served(stock).batch(request("first"), request("second"), request("third")))
    await eventually(lambda: len(stock.asked) == 3)  # all at once: no shard waits for another
    assert not answered.done()

    slow.set_result(sold_out(1))

    assert times(await answered) == [1, 2, 3]


async def test_equal_requests_are_judged_once_and_hear_the_same() -> None:
    """Equal is what Reserve takes for a repeat: lines in any order, summed. Other requests of the id go in order."""
    lines = [Line(sku="b", quantity=1), Line(sku="a", quantity=2)]
    same = [Line(sku="a", quantity=1), Line(sku="b", quantity=1), Line(sku="a", quantity=1)]
    stock = ToldStock()
    served = Served(stock)

    results = await served.batch(
        request("r", lines=lines),
        request("r", buyer_id="bob"),
        request("r", lines=same),
        request("r", lines=lines, reference="order-1"),
        request("r", lines=lines, sale_id="other"),
    )

    assert [(command.sale.sale_id, command.buyer_id, command.reference) for command in stock.asked] == [
        *(("s", "ada", ""), ("s", "bob", ""), ("s", "ada", "order-1"), ("other", "ada", ""))
    ]
    assert results[0] == results[2]
    assert len(served.outcomes.reserves) == 4


async def test_a_request_of_the_usual_shape_and_one_that_is_summed_to_it_are_equal() -> None:
    """Only the first of them is parsed by the pattern; both hear of the one line that is held."""
    held: Any = PlainHold(CallMoment(0, 1, 1, 1000), 0, 2000)
    stock, lamp = ToldStock(r=held), Line(sku="lamp", quantity=1)

    first, second = await Served(stock).batch(request("r", quantity=2), request("r", lines=[lamp, lamp]))

    assert first == second
    assert [line.quantity for line in first.response.reservation.lines] == [2]
    assert stock.asked_ids == ["r"]


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_has_1_to_500_requests(count: int) -> None:
    """Beyond, nothing is judged."""
    stock = ToldStock()

    status = await Served(stock).status(
        "BatchReserve", calls.BatchReserveRequest(requests=[request(f"r-{n}") for n in range(count)])
    )

    assert (status_error(status).fields, stock.asked) == (["requests"], [])


async def test_five_hundred_requests_are_answered() -> None:
    """The largest batch."""
    assert len(await Served(ToldStock()).batch(*(request(f"r-{n}") for n in range(500)))) == 500


async def test_an_unknown_field_of_the_batch_itself_fails_the_call() -> None:
    """It may be about all requests, so none is judged."""
    stock = ToldStock()
    batch = with_unknown_field(calls.BatchReserveRequest(requests=[request("r")]))

    assert reason_of(await Served(stock).status("BatchReserve", batch)) == "UNKNOWN_FIELD"
    assert stock.asked == []


def reason_of(status: status_pb2.Status) -> str:
    return status_error(status).reason


async def test_a_batch_takes_a_slot_for_each_request_or_none() -> None:
    """Else a batch would be five hundred times as much work as a slot is meant for."""
    stock, three = ToldStock(), [request(f"r-{n}") for n in range(3)]
    served = Served(stock)
    slots = served.middleware.slots

    slots.in_use = CLAIM.slots - 2
    assert reason_of(await served.status("BatchReserve", calls.BatchReserveRequest(requests=three))) == "OVERLOADED"
    assert (stock.asked, slots.in_use) == ([], CLAIM.slots - 2)
    slots.in_use = CLAIM.slots - 3
    assert len(await served.batch(*three)) == 3

    assert slots.in_use == CLAIM.slots - 3


async def test_a_batch_has_its_slots_while_it_is_judged_and_what_was_not_sent_is_dropped_with_it() -> None:
    """Nothing is done for a caller that is gone, and no slot is lost."""
    stock = HeldBackStock()
    batcher: Any = Batcher(stock, lambda sale: 0, lambda *_: None)  # type: ignore[arg-type]  # it is asked for many alone
    served = Served(batcher)
    call = asyncio.ensure_future(served.batch(*(request(f"r-{n}") for n in range(10))))
    await eventually(lambda: stock.asked == ["r-0"])
    assert served.middleware.slots.in_use == 10

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    stock.answers.set()
    await batcher.reserve(Reserve(SaleKey("default", "s"), "last", "ada", (), None))

    assert (stock.asked, served.middleware.slots.in_use) == (["r-0", "last"], 0)


@pytest.mark.parametrize("turns", range(4))
async def test_a_batch_that_is_cancelled_twice_gives_all_slots_back(turns: int) -> None:
    """The second time while it waits for the tasks that it has cancelled."""
    served = Served(stock := ToldStock(r=asyncio.get_running_loop().create_future()))
    call = asyncio.ensure_future(served.batch(request("r"), request("other")))
    await eventually(lambda: stock.asked_ids == ["r", "other"])

    call.cancel()
    for _ in range(turns):  # of the event loop
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    await eventually(lambda: served.middleware.slots.in_use == 0)


async def test_an_answer_that_cannot_be_taken_costs_no_other_request_its_own() -> None:
    """One script call has the answers of many callers. What cannot be counted is answered nevertheless."""
    stock, taken = HeldBackStock(), []
    stock.answers.set()
    batcher: Any = Batcher(stock, lambda sale: 0, lambda *_: None)  # type: ignore[arg-type]  # it is asked for many alone
    outcomes, archive = Mock(), Mock()
    outcomes.count_reserve.side_effect = KeyError("a bug")

    def take(key: str, result: Any) -> None:
        taken.append(key)
        if key == "first":
            raise KeyError("a bug")

    with capture_logs() as logged:
        group = ReserveJudge(BatchedReserves(batcher, archive), outcomes).begin(take)
        names = ["first", "second", "third"]
        group.ask(names, [Reserve(SaleKey("default", "s"), name, "ada", (), None) for name in names])
        await eventually(lambda: taken == names)

    assert [line["event"] for line in logged] == ["unhandled_exception"] * 3


async def test_a_bug_in_one_request_spoils_no_other() -> None:
    """Its outcome is unknown, as Reserve would say, and it is logged."""
    served = Served(ToldStock(r=KeyError("a bug")))
    current_caller.set(Caller("acme", "ann", frozenset({RESERVE}), "t-1"))

    with capture_logs() as logged:
        result, other = await served.batch(request("r"), request("other"))
        expected = await served.status("Reserve", request("r"))

    assert result.status == expected
    assert times([other]) == [1]
    who = {"tenant": "acme", "subject": "ann", "jti": "t-1"}
    assert [(line["event"], line["call"]) for line in logged] == [("unhandled_exception", "Reserve")] * 2
    assert [{field: line[field] for field in who} for line in logged] == [who] * 2


async def test_a_batch_that_takes_too_long_gives_all_slots_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been judged in part."""
    never: Any = asyncio.get_running_loop().create_future()
    served = Served(ToldStock(r=never))
    method = "BatchReserve"
    monkeypatch.setitem(methods.METHODS, method, methods.METHODS[method]._replace(time_limit_s=0.01))
    batch = calls.BatchReserveRequest(requests=[request("r"), request("other")])

    assert reason_of(await served.status(method, batch)) == "OUTCOME_UNKNOWN"
    assert served.middleware.slots.in_use == 0
    assert never.cancelled()


async def test_a_long_batch_lets_other_calls_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five hundred requests of a thousand bad lines each take seconds to check."""
    served, turns = Served(ToldStock()), 0
    lines = [Line(sku="/", quantity=0)] * 1000
    batch = calls.BatchReserveRequest(requests=[request(f"r-{n}", lines=lines) for n in range(20)])
    call = asyncio.ensure_future(served.call("BatchReserve", batch, FakeContext(None)))

    while not call.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 5
