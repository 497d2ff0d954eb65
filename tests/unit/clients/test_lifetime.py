"""From where a client may be used and how it ends: event loops, threads, `close` and Ctrl-C."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    GetSaleResponse,
)
from holdfast.retry import Attempts, RetryPolicy

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, unavailable
from tests.unit.clients.interrupts import interrupt_once
from tests.waiting import LONG_S, eventually

LONG_POLICY = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, first_delay_s=0.001)
PAUSE_S = 20.0  # the server asks for it; shorter than the patience, so that the client waits
NOTHING_DONE = unavailable(ErrorReason.ERROR_REASON_STORE_UNREACHABLE, PAUSE_S)
UNKNOWN = unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, PAUSE_S)


@pytest.fixture
def pausing(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a call begins to wait between two attempts."""
    begun = threading.Event()
    delay_after = Attempts.delay_after

    def noted(attempts: Attempts, error: errors.HoldfastError) -> float:
        delay_s = delay_after(attempts, error)
        begun.set()
        return delay_s

    monkeypatch.setattr(Attempts, "delay_after", noted)
    return begun


def test_a_client_is_used_by_one_event_loop_after_another(fake: FakeInventory) -> None:
    """It is made where there is none, as a module does, and `asyncio.run` makes a new one each time."""
    fake.will_answer("GetSale", *[GetSaleResponse()] * 2)
    client = Client(fake.address, retry=LONG_POLICY)

    answers = [asyncio.run(client.get_sale("lamps")) for _ in range(2)]
    asyncio.run(client.close())

    assert answers == [GetSaleResponse()] * 2


async def test_a_client_is_used_by_two_event_loops_at_once(fake: FakeInventory, hanging: threading.Event) -> None:
    """A thread may have a loop of its own; `close` ends the call of that loop too."""
    fake.will_answer("GetSale", GetSaleResponse(), hanging)
    client = Client(fake.address, retry=LONG_POLICY)

    await client.get_sale("lamps")
    in_thread = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(client.get_sale("lamps"))))
    await eventually(lambda: len(fake.asked) == 2)
    await client.close()

    with pytest.raises(errors.Closed):
        await in_thread


async def test_a_closed_client_says_so(fake: FakeInventory) -> None:
    """gRPC's own error would be none of `holdfast.errors`. To close twice is no error."""
    used, unused = Client(fake.address), Client(fake.address)
    await used.reach(within_s=LONG_S)
    for client in (used, unused):
        await client.close()
        await client.close()

        for call in (client.get_sale("lamps"), client.reach(LONG_S)):
            with pytest.raises(errors.Closed):
                await call


def test_a_closed_blocking_client_says_so(fake: FakeInventory) -> None:
    """It neither waits for a loop that has ended, nor starts one that would never end."""
    used, unused = BlockingClient(fake.address), BlockingClient(fake.address)
    used.reach(within_s=LONG_S)
    for client in (used, unused):
        client.close()
        client.close()

        with pytest.raises(errors.Closed):
            client.get_sale("lamps")


def test_a_loop_that_cannot_be_made_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may open no more files would otherwise wait for ever, with all its threads."""

    def fail() -> None:
        raise OSError(24, "Too many open files")

    with BlockingClient("127.0.0.1:1") as client:
        with monkeypatch.context() as patched:
            patched.setattr("asyncio.events.new_event_loop", fail)
            with pytest.raises(OSError, match="Too many open files"):
                client.get_sale("lamps")

        assert not client.reach(within_s=0.01), "it works once a loop can be made"


async def test_close_ends_a_call_that_is_out(fake: FakeInventory, hanging: threading.Event) -> None:
    """It has ended when `close` returns, and its error says that it may have been done."""
    fake.will_answer("Reserve", hanging)
    client = Client(fake.address, retry=LONG_POLICY)
    call = asyncio.ensure_future(client.reserve("lamps", "r-1", "ada", {"lamp": 1}))
    await eventually(lambda: fake.asked)

    await client.close()

    error = call.exception()
    assert isinstance(error, errors.Closed)
    assert error.outcome_unknown
    assert error.ids["reservation_id"] == "r-1"


async def test_close_ends_the_wait_for_a_server() -> None:
    """It found none, and the answer "no server" would be taken for one about the server."""
    client = Client("127.0.0.1:1")
    waiting = asyncio.ensure_future(client.reach(LONG_S))
    await asyncio.sleep(0)

    await client.close()

    with pytest.raises(errors.Closed):
        await waiting


@pytest.mark.parametrize(("first", "may_be_done"), [(NOTHING_DONE, False), (UNKNOWN, True)], ids=["not", "unknown"])
async def test_close_wakes_a_call_that_waits_between_attempts(
    fake: FakeInventory, pausing: threading.Event, first: ErrorStatus, may_be_done: bool
) -> None:
    """What its attempts left open stays open."""
    fake.will_answer("Reserve", first)
    client = Client(fake.address, retry=LONG_POLICY)
    call = asyncio.ensure_future(client.reserve("lamps", "r-1", "ada", {"lamp": 1}))
    await eventually(pausing.is_set)

    await client.close()

    error = call.exception()
    assert isinstance(error, errors.Closed)
    assert error.outcome_unknown is may_be_done


def test_close_wakes_a_thread_that_waits_between_attempts(fake: FakeInventory, pausing: threading.Event) -> None:
    """A program that ends does not wait for the patience of its threads."""
    fake.will_answer("GetSale", NOTHING_DONE)
    client = BlockingClient(fake.address, retry=LONG_POLICY)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.get_sale, "lamps")
        assert pausing.wait(LONG_S)

        client.close()

        assert isinstance(call.exception(timeout=LONG_S), errors.Closed)


async def test_a_call_that_its_caller_cancels_is_cancelled(fake: FakeInventory, hanging: threading.Event) -> None:
    """It raises what Python raises, and its server is told so."""
    fake.will_answer("GetSale", hanging)
    async with Client(fake.address, retry=LONG_POLICY) as client:
        call = asyncio.ensure_future(client.get_sale("lamps"))
        await eventually(lambda: fake.asked)

        call.cancel()

        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: fake.ended)


def test_ctrl_c_ends_a_blocking_call(fake: FakeInventory, hanging: threading.Event) -> None:
    """The exception interrupts the wait and cancels the call, so that no repeat is made behind the caller's back."""
    fake.will_answer("GetSale", hanging)
    interrupt = threading.Thread(target=interrupt_once, args=(fake, threading.get_ident()))

    with BlockingClient(fake.address, retry=LONG_POLICY) as client:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            client.get_sale("lamps")
        interrupt.join()
        asyncio.run(eventually(lambda: fake.ended))

    assert len(fake.asked) == 1
