"""A StreamReserve that its caller reads slowly, leaves or closes, with an event loop or without one."""

import asyncio
import itertools
import signal
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import (
    ReserveRequest,
)

from tests.unit.clients.fake_inventory import FakeInventory
from tests.unit.clients.reserve_streams import PATIENT, collect, hold_all
from tests.unit.clients.results import answer, requests
from tests.waiting import LONG_S, eventually


async def test_a_slow_reader_holds_back_the_requests(fake: FakeInventory) -> None:
    """No more than 256 are taken whose answers it has not taken, so that memory is bounded on both sides."""
    fake.will_answer("StreamReserve", hold_all)
    taken = []

    def endless() -> Iterator[ReserveRequest]:
        for number in itertools.count(1):
            taken.append(number)
            yield from requests(f"r-{number}")

    async with Client(fake.address, retry=PATIENT) as client:
        async with client.stream_reserve(endless()) as stream:
            await anext(stream)
            await eventually(lambda: len(taken) == 257)
            await asyncio.sleep(0.1)
            assert len(taken) == 257
            await anext(stream)
            await eventually(lambda: len(taken) == 258)
        await eventually(lambda: fake.ended)


async def test_the_exception_of_the_requests_comes_after_the_answers(fake: FakeInventory) -> None:
    """What was asked before it has an answer, which the caller must not lose."""

    async def failing() -> AsyncIterator[ReserveRequest]:
        for request in requests("r-1", "r-2"):
            yield request
        raise OSError("the file ends here")

    fake.will_answer("StreamReserve", hold_all)
    async with Client(fake.address, retry=PATIENT) as client:
        stream = client.stream_reserve(failing())
        assert {(await anext(stream))[0].reservation_id for _ in range(2)} == {"r-1", "r-2"}
        with pytest.raises(OSError, match="ends here"):
            await anext(stream)
        with pytest.raises(TypeError, match="reserve_request"):
            await anext(client.stream_reserve(["r-1"]))  # type: ignore[list-item]  # what it is about


async def test_leaving_the_loop_ends_the_stream(fake: FakeInventory) -> None:
    """And so does a cancellation."""
    fake.will_answer("StreamReserve", hold_all, hold_all)

    async def endless() -> AsyncIterator[ReserveRequest]:
        for number in itertools.count(1):
            yield requests(f"r-{number}")[0]
            await asyncio.sleep(0)

    async with Client(fake.address, retry=PATIENT) as client:
        async for _ in client.stream_reserve(endless()):
            break
        await eventually(lambda: len(fake.ended) == 1)

        reading = asyncio.ensure_future(collect(client.stream_reserve(endless())))
        await eventually(lambda: len(fake.asked) == 2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await eventually(lambda: len(fake.ended) == 2)


async def test_close_ends_streams(fake: FakeInventory, hanging: threading.Event) -> None:
    """What is unanswered may have been done."""
    fake.will_answer("StreamReserve", [hanging])
    client = Client(fake.address, retry=PATIENT)
    reading = asyncio.ensure_future(collect(client.stream_reserve(requests("r-1"))))
    await eventually(lambda: fake.asked)

    await client.close()

    error = reading.exception()
    assert isinstance(error, errors.Closed)
    assert error.outcome_unknown
    await eventually(lambda: fake.ended)


def test_a_stream_of_the_blocking_client(fake: FakeInventory) -> None:
    """Its requests may keep a thread waiting, and neither other calls nor the answers."""
    fake.will_answer("StreamReserve", hold_all)
    seen = threading.Event()

    def waiting() -> Iterator[ReserveRequest]:
        first, second = requests("r-1", "r-2")
        yield first
        assert seen.wait(LONG_S), "the first answer comes before the second request"
        yield second

    with BlockingClient(fake.address, retry=PATIENT) as client:
        answers = []
        for _, reply in client.stream_reserve(waiting()):
            answers.append(reply)
            seen.set()

    assert answers == [answer("r-1"), answer("r-2")]


def test_a_stream_of_the_blocking_client_is_left(fake: FakeInventory) -> None:
    """By leaving the loop, by `close` and by Ctrl-C; the thread that takes the requests ends too."""
    fake.will_answer("StreamReserve", *[hold_all] * 3)

    def endless() -> Iterator[ReserveRequest]:
        for number in itertools.count(1):
            yield from requests(f"r-{number}")

    main = threading.get_ident()
    interrupt = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    with BlockingClient(fake.address, retry=PATIENT) as client:
        for _ in client.stream_reserve(endless()):
            break
        with client.stream_reserve(endless()) as stream:
            next(stream)
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it comes in the midst of an endless loop
            for number, _ in enumerate(client.stream_reserve(endless())):
                if number == 0:  # the server has the stream
                    interrupt.start()
        asyncio.run(eventually(lambda: len(fake.ended) == 3))
        asyncio.run(eventually(lambda: "holdfast-requests" not in {each.name for each in threading.enumerate()}))


def test_the_exception_of_the_requests_reaches_a_blocking_caller(fake: FakeInventory) -> None:
    """From the thread that took them."""
    fake.will_answer("StreamReserve", hold_all)

    def failing() -> Iterator[ReserveRequest]:
        yield from requests("r-1")
        raise OSError("the file ends here")

    with BlockingClient(fake.address, retry=PATIENT) as client:
        stream = client.stream_reserve(failing())
        next(stream)
        with pytest.raises(OSError, match="ends here"):
            next(stream)
