"""A client that coalesces: calls that are made at the same time are one call, and none notices the others."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import grpc
import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    BatchReserveRequest,
    BatchReserveResponse,
    ReserveRequest,
    ReserveResponse,
)
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, error_status, running_fake, unavailable
from tests.unit.clients.results import answer, failed, held, held_all
from tests.waiting import LONG_S, eventually

PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, first_delay_s=0.001)
LOST = ErrorStatus(grpc.StatusCode.UNAVAILABLE)
AWAY = failed(grpc.StatusCode.UNAVAILABLE, ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)
REUSED = failed(grpc.StatusCode.ALREADY_EXISTS, ErrorReason.ERROR_REASON_RESERVATION_ID_REUSED)


def hold_one(request: ReserveRequest) -> ReserveResponse:
    return answer(request.reservation_id)


async def reserve(client: Client, *names: str) -> list[ReserveResponse | BaseException]:
    """Make these calls at the same time."""
    calls = (client.reserve("lamps", name, "ada", {"lamp": 1}) for name in names)
    return await asyncio.gather(*calls, return_exceptions=True)


def shapes(fake: FakeInventory) -> list[int]:
    """How many requests each call had; 0: it was a Reserve."""
    return [len(asked.requests) if isinstance(asked, BatchReserveRequest) else 0 for asked in fake.asked]


async def test_calls_of_one_moment_are_one_call(fake: FakeInventory) -> None:
    """Each gets its own answer."""
    names = [f"r-{number}" for number in range(10)]
    fake.will_answer("BatchReserve", held_all)

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        assert await reserve(client, *names) == [answer(name) for name in names]

    assert shapes(fake) == [10]


async def test_a_batch_is_bounded(fake: FakeInventory) -> None:
    """A hundred at most, and a call that is left over goes alone, or waits for others while a batch is out."""
    names = [f"r-{number}" for number in range(250)]
    fake.will_answer("BatchReserve", *[held_all] * 3)

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        assert await reserve(client, *names) == [answer(name) for name in names]

    assert sorted(shapes(fake)) == [50, 100, 100]


async def test_a_call_that_is_alone_is_a_reserve_and_does_not_wait(
    fake: FakeInventory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is gained by a batch of one, nor lost by it."""
    monkeypatch.setattr("holdfast.bulk.coalescing.GATHER_S", LONG_S)
    fake.will_answer("Reserve", hold_one, hold_one)

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        assert await reserve(client, "r-1") == [answer("r-1")]
        assert await reserve(client, "r-2") == [answer("r-2")]

    assert shapes(fake) == [0, 0]


async def test_calls_wait_for_others_while_a_batch_is_out(
    fake: FakeInventory, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment: those that come one after the other are sent together."""
    monkeypatch.setattr("holdfast.bulk.coalescing.GATHER_S", 0.5)
    fake.will_answer("BatchReserve", hanging, held_all)

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        first = asyncio.ensure_future(reserve(client, "r-1", "r-2"))
        await eventually(lambda: fake.asked)
        second = asyncio.ensure_future(reserve(client, "r-3"))
        await asyncio.sleep(0.01)
        third = asyncio.ensure_future(reserve(client, "r-4"))

        assert await second == [answer("r-3")]
        assert await third == [answer("r-4")]
        first.cancel()

    assert shapes(fake) == [2, 2]


async def test_calls_with_other_metadata_are_another_batch(fake: FakeInventory) -> None:
    """A batch has one set of metadata, and one token: a token is of one tenant, and so is what is held under it."""
    token: ContextVar[str] = ContextVar("token")
    fake.will_answer("BatchReserve", held_all, held_all, held_all)

    async def reserve_as(bearer: str, client: Client, *names: str) -> None:
        token.set(bearer)
        assert await reserve(client, *names) == [answer(name) for name in names]

    async with Client(fake.address, retry=PATIENT, coalesce=True, token=token.get) as client:
        tagged = client.with_options(metadata=[("x-cart", "7")])
        await asyncio.gather(
            reserve_as("acme", client, "r-1", "r-2"),
            reserve_as("zorg", client, "r-3", "r-4"),
            reserve_as("acme", tagged, "r-5", "r-6"),
        )

    sent = [
        (each["authorization"], each.get("x-cart"), [request.reservation_id for request in asked.requests])
        for each, asked in zip(fake.metadata, fake.asked, strict=True)
    ]
    assert sorted(sent, key=str) == [
        ("Bearer acme", "7", ["r-5", "r-6"]),
        ("Bearer acme", None, ["r-1", "r-2"]),
        ("Bearer zorg", None, ["r-3", "r-4"]),
    ]


async def test_an_exception_of_an_interceptor_is_raised_at_once(fake: FakeInventory) -> None:
    """By each call, as it is without a batch, and not only once the patience for an answer is spent."""

    class Refusing(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            raise LookupError("no route")

    async with Client(fake.address, retry=PATIENT, coalesce=True, interceptors=[Refusing()]) as client:
        began = time.monotonic()
        raised = await reserve(client, "r-1", "r-2")

    assert [type(error) for error in raised] == [LookupError, LookupError]
    assert time.monotonic() - began < LONG_S / 2
    assert fake.asked == []


async def test_each_call_raises_its_own_error(fake: FakeInventory) -> None:
    """What is wrong with one is not wrong with the others."""
    fake.will_answer("BatchReserve", lambda asked: BatchReserveResponse(results=[held(asked.requests[0]), REUSED]))

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        one, two = await reserve(client, "r-1", "r-2")

    assert one == answer("r-1")
    assert isinstance(two, errors.ReservationIdReused)
    assert two.ids["reservation_id"] == "r-2"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(LOST, id="lost"),
        pytest.param(unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING), id="draining"),
        pytest.param(
            error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorReason.ERROR_REASON_THROTTLED), id="throttled"
        ),
        pytest.param(lambda asked: BatchReserveResponse(results=[AWAY, AWAY]), id="each"),
    ],
)
async def test_what_a_batch_did_not_answer_is_repeated_alone(fake: FakeInventory, first: ErrorStatus) -> None:
    """With the same ids, by each call for itself."""
    fake.will_answer("BatchReserve", first)
    fake.will_answer("Reserve", hold_one, hold_one)

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        assert await reserve(client, "r-1", "r-2") == [answer("r-1"), answer("r-2")]

    assert shapes(fake) == [2, 0, 0]


async def test_a_batch_that_failed_is_repeated_at_another_server(fake: FakeInventory) -> None:
    """The one that is down costs each call one attempt."""
    with running_fake() as other:
        for server in (fake, other):
            server.will_answer("BatchReserve", LOST)
            server.will_answer("Reserve", *[hold_one] * 20)
        async with Client(f"{fake.address},{other.address}", channels=2, retry=PATIENT, coalesce=True) as client:
            await reserve(client, *(f"r-{number}" for number in range(20)))

        assert sorted([shapes(fake), shapes(other)]) == [[0] * 20, [20]]


async def test_an_error_says_whether_the_batch_may_have_been_done(fake: FakeInventory) -> None:
    """As after a single call."""
    fake.will_answer(
        "BatchReserve", LOST, error_status(grpc.StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_TOKEN_INVALID)
    )
    policy = replace(PATIENT, first_delay_s=60)

    async with Client(fake.address, retry=policy, coalesce=True) as client:
        lost, _ = await reserve(client, "r-1", "r-2")
        refused, _ = await reserve(client, "r-3", "r-4")

    assert isinstance(lost, errors.NoAnswer)
    assert lost.outcome_unknown
    assert isinstance(refused, errors.TokenInvalid)
    assert not refused.outcome_unknown
    assert refused.ids["reservation_id"] == "r-3"


async def test_an_older_server_gets_single_calls(fake: FakeInventory) -> None:
    """It knows no BatchReserve, is asked for one once, and no call pays more than that."""
    fake.will_answer("Reserve", *[hold_one] * 4)

    async with Client(fake.address, retry=replace(PATIENT, repeats_per_s=0), coalesce=True) as client:
        assert await reserve(client, "r-1", "r-2") == [answer("r-1"), answer("r-2")]
        assert await reserve(client, "r-3", "r-4") == [answer("r-3"), answer("r-4")]

    assert shapes(fake) == [2, 0, 0, 0, 0]


async def test_a_call_that_is_cancelled_cancels_no_other(fake: FakeInventory, hanging: threading.Event) -> None:
    """One that has not been sent is not sent; a batch that none waits for any more is cancelled on its server."""
    fake.will_answer("BatchReserve", held_all, hanging)

    async with Client(fake.address, retry=PATIENT, coalesce=True) as client:
        calls = [asyncio.ensure_future(reserve(client, name)) for name in ("r-1", "r-2", "r-3")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        calls[0].cancel()
        assert [await call for call in calls[1:]] == [[answer("r-2")], [answer("r-3")]]
        assert shapes(fake) == [2]

        calls = [asyncio.ensure_future(reserve(client, name)) for name in ("r-4", "r-5")]
        await eventually(lambda: len(fake.asked) == 2)
        calls[0].cancel()
        await asyncio.sleep(0.05)
        assert len(fake.ended) == 1
        calls[1].cancel()
        await eventually(lambda: len(fake.ended) == 2)


async def test_close_ends_calls_that_are_gathered(fake: FakeInventory, hanging: threading.Event) -> None:
    """Those of a batch that is out, and those that wait for one."""
    fake.will_answer("BatchReserve", hanging)
    client = Client(fake.address, retry=PATIENT, coalesce=True)
    out = asyncio.ensure_future(reserve(client, "r-1", "r-2"))
    await eventually(lambda: fake.asked)
    waiting = asyncio.ensure_future(client.reserve("lamps", "r-3", "ada", {"lamp": 1}))
    await asyncio.sleep(0)

    await client.close()

    for error in [*await out, waiting.exception()]:
        assert isinstance(error, errors.Closed)
        assert error.outcome_unknown


async def test_close_ends_a_call_that_was_made_a_moment_before(fake: FakeInventory) -> None:
    """It has not been sent, and is not any more."""
    client = Client(fake.address, retry=PATIENT, coalesce=True)
    call = asyncio.ensure_future(client.reserve("lamps", "r-1", "ada", {"lamp": 1}))
    await asyncio.sleep(0)

    await client.close()

    with pytest.raises(errors.Closed):
        await call
    assert shapes(fake) == []


async def test_a_client_does_not_coalesce_unless_it_is_asked_to(fake: FakeInventory) -> None:
    """A batch is judged at a time, so one call may wait for another."""
    fake.will_answer("Reserve", hold_one, hold_one)

    async with Client(fake.address, retry=PATIENT) as client:
        await reserve(client, "r-1", "r-2")

    assert shapes(fake) == [0, 0]


def test_threads_of_a_blocking_client_share_a_batch(fake: FakeInventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their calls meet on its loop; which of them do is chance."""
    monkeypatch.setattr("holdfast.bulk.coalescing.GATHER_S", 0.05)
    fake.will_answer("Reserve", *[hold_one] * 40)
    fake.will_answer("BatchReserve", *[held_all] * 40)

    with BlockingClient(fake.address, retry=PATIENT, coalesce=True) as client, ThreadPoolExecutor(8) as threads:
        names = [f"r-{number}" for number in range(40)]
        answers = threads.map(lambda name: client.reserve("lamps", name, "ada", {"lamp": 1}), names)
        assert list(answers) == [answer(name) for name in names]

    assert len(fake.asked) < 40


def test_a_coalescing_client_is_used_by_one_event_loop_after_another(fake: FakeInventory) -> None:
    """Each has batches of its own."""
    fake.will_answer("BatchReserve", held_all, held_all)
    client = Client(fake.address, retry=PATIENT, coalesce=True)

    for _ in range(2):
        assert asyncio.run(reserve(client, "r-1", "r-2")) == [answer("r-1"), answer("r-2")]
    asyncio.run(client.close())
