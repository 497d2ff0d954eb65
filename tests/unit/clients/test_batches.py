"""BatchReserve: each request has an answer, in order, and what could not be judged is asked again."""

from dataclasses import replace

import grpc
import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    BatchReserveRequest,
    BatchReserveResponse,
    ReserveResponse,
    ReserveResult,
)
from holdfast.inventory.v1.reservation_pb2 import Rejection, RejectionReason
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, error_status, unavailable
from tests.unit.clients.results import answer, failed, held, held_all, requests
from tests.waiting import LONG_S

PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, first_delay_s=0.001)
IMPATIENT = RetryPolicy(overall_s=20, attempt_s=20, first_delay_s=60)  # leaves no time for a repeat
AWAY = failed(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)
UNKNOWN = failed(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN)
REUSED = failed(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_RESERVATION_ID_REUSED)
THROTTLED = failed(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_THROTTLED)


def answers(*results: ReserveResult) -> BatchReserveResponse:
    return BatchReserveResponse(results=results)


def ids(asked: BatchReserveRequest) -> list[str]:
    return [request.reservation_id for request in asked.requests]


async def test_answers_come_in_the_order_of_the_requests(fake: FakeInventory) -> None:
    """Sold out is an answer, and what reserve would raise stands in its place."""
    sold_out = ReserveResponse(rejection=Rejection(reason=RejectionReason.REJECTION_REASON_SOLD_OUT))
    first, second, third = requests("r-1", "r-2", "r-3")
    fake.will_answer("BatchReserve", answers(held(first), REUSED, ReserveResult(response=sold_out)))

    async with Client(fake.address, retry=PATIENT) as client:
        one, two, three = await client.batch_reserve([first, second, third])

    assert fake.asked == [BatchReserveRequest(requests=[first, second, third])]
    assert (one, three) == (answer("r-1"), sold_out)
    assert isinstance(two, errors.ReservationIdReused)
    assert str(two).startswith("reservation r-2 of sale lamps: The sentence of the server.")
    assert not two.outcome_unknown


async def test_what_could_not_be_judged_is_asked_again_with_the_same_ids(fake: FakeInventory) -> None:
    """And nothing else: what was answered stays answered, and what no repeat mends is not repeated."""
    asked = requests("r-1", "r-2", "r-3", "r-4")
    fake.will_answer(
        "BatchReserve", answers(AWAY, held(asked[1]), REUSED, UNKNOWN), answers(held(asked[0]), AWAY), held_all
    )

    async with Client(fake.address, retry=PATIENT) as client:
        one, two, three, four = await client.batch_reserve(asked)

    assert [ids(each) for each in fake.asked] == [["r-1", "r-2", "r-3", "r-4"], ["r-1", "r-4"], ["r-4"]]
    assert (one, two, four) == (answer("r-1"), answer("r-2"), answer("r-4"))
    assert isinstance(three, errors.ReservationIdReused)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(ErrorStatus(grpc.StatusCode.UNAVAILABLE), id="connection-lost"),
        pytest.param(ErrorStatus(grpc.StatusCode.DEADLINE_EXCEEDED), id="deadline"),
        pytest.param(unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING), id="draining"),
        pytest.param(
            error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_THROTTLED), id="throttled"
        ),
    ],
)
async def test_a_batch_that_fails_as_a_whole_is_repeated(fake: FakeInventory, first: ErrorStatus) -> None:
    """As it was, so that the server recognises what it has done."""
    fake.will_answer("BatchReserve", first, held_all)

    async with Client(fake.address, retry=PATIENT) as client:
        assert await client.batch_reserve(requests("r-1", "r-2")) == [answer("r-1"), answer("r-2")]

    once, again = fake.asked
    assert once == again


async def test_each_error_says_whether_its_own_request_may_have_been_done(fake: FakeInventory) -> None:
    """A lost answer leaves all open, until a later attempt looks at the one or the other."""
    lost = ErrorStatus(grpc.StatusCode.UNAVAILABLE)
    fake.will_answer("BatchReserve", lost, answers(AWAY, REUSED))
    policy = replace(PATIENT, repeats_per_s=0)

    async with Client(fake.address, retry=policy) as client:
        for _ in range(10):  # a repeat for ten calls
            with pytest.raises(errors.NotBuilt):
                await client.get_sale("lamps")
        away, reused = await client.batch_reserve(requests("r-1", "r-2"))

    assert isinstance(away, errors.ShardNotServing)
    assert away.outcome_unknown
    assert isinstance(reused, errors.ReservationIdReused)
    assert not reused.outcome_unknown


async def test_a_batch_that_no_server_answers_is_an_error_of_each_request(fake: FakeInventory) -> None:
    """With its ids, and as unknown as the attempt was."""
    fake.will_answer("BatchReserve", ErrorStatus(grpc.StatusCode.INTERNAL), ErrorStatus(grpc.StatusCode.UNIMPLEMENTED))

    async with Client(fake.address, retry=IMPATIENT) as client:
        lost = await client.batch_reserve(requests("r-1", "r-2"))
        [old] = await client.batch_reserve(requests("r-3"))

    for each, reservation_id in zip(lost, ("r-1", "r-2"), strict=True):
        assert isinstance(each, errors.NoAnswer)
        assert each.outcome_unknown
        assert each.ids["reservation_id"] == reservation_id
    assert isinstance(old, errors.NotBuilt)
    assert not old.outcome_unknown


@pytest.mark.parametrize("reply", [answers(), answers(ReserveResult())], ids=["missing", "of a newer kind"])
async def test_an_answer_that_is_none_leaves_its_request_unknown(
    fake: FakeInventory, reply: BatchReserveResponse
) -> None:
    """It is not taken for an answer of another request, nor for a hold."""
    fake.will_answer("BatchReserve", reply)

    async with Client(fake.address, retry=PATIENT) as client:
        [error] = await client.batch_reserve(requests("r-1"))

    assert isinstance(error, errors.HoldfastError)
    assert error.outcome_unknown


async def test_more_than_a_server_takes_is_sent_in_several_calls(fake: FakeInventory) -> None:
    """And nothing where there is nothing to ask."""
    names = [f"r-{number}" for number in range(1001)]
    fake.will_answer("BatchReserve", *[held_all] * 3)

    async with Client(fake.address, retry=PATIENT) as client:
        assert await client.batch_reserve([]) == []
        assert await client.batch_reserve(requests(*names)) == [answer(name) for name in names]

    assert [len(asked.requests) for asked in fake.asked] == [500, 500, 1]


async def test_a_token_that_fails_fails_each_request(fake: FakeInventory) -> None:
    """Those that were answered before keep their answer."""
    tokens = iter(["t-1"])
    asked = requests("r-1", "r-2")
    fake.will_answer("BatchReserve", answers(held(asked[0]), UNKNOWN))

    async with Client(fake.address, retry=PATIENT, token=lambda: next(tokens)) as client:
        one, two = await client.batch_reserve(asked)

    assert one == answer("r-1")
    assert isinstance(two, errors.TokenUnavailable)
    assert two.outcome_unknown


def test_the_blocking_client_sends_batches(fake: FakeInventory) -> None:
    """The same answers, for a caller without an event loop."""
    fake.will_answer("BatchReserve", held_all)

    with BlockingClient(fake.address, retry=PATIENT) as client:
        assert client.batch_reserve(requests("r-1")) == [answer("r-1")]
