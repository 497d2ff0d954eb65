"""From where a client may be used and how it ends: event loops, threads, forked processes, `close` and Ctrl-C."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    GetSaleResponse,
    StreamReserveRequest,
    StreamReserveResponse,
    WatchSaleResponse,
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


# A child with channels of its parent ends by `sys.exit`, which frees all that it has. What has used gRPC itself ends by
# `os._exit`: how gRPC's threads end is not what is tested. The script runs in a process of its own, because the process
# of the tests serves with gRPC while it would fork.
FORKS = """
import asyncio, os, sys
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.errors import Closed

def in_a_child(end=sys.exit, **calls):
    sys.stdout.flush()
    child = os.fork()
    if not child:
        for name, call in calls.items():
            try:
                call()
                print(name, "works")
            except Closed as closed:
                print(name, "Closed", closed.outcome_unknown)
        sys.stdout.flush()
        end(0)
    if status := os.waitpid(child, 0)[1]:
        print("ended with", status)

address = sys.argv[1]
client, blocking, begun = Client(address), BlockingClient(address), BlockingClient(address)
try:
    begun.extend("lamps", "r-1")  # lacks an argument: a loop runs then that has not connected
except TypeError:
    pass
ask, ask_blocking = lambda: asyncio.run(client.get_sale("lamps")), lambda: blocking.get_sale("lamps")
ask_new = lambda: asyncio.run(Client(address).get_sale("lamps"))
close = lambda: (asyncio.run(client.close()), blocking.close())
free = lambda: globals().update(client=None, blocking=None, ask=None, ask_blocking=None, close=None)

in_a_child(os._exit, unused=ask, unused_blocking=ask_blocking, begun=lambda: begun.get_sale("lamps"))
ask(), ask_blocking()
in_a_child(used=ask, used_blocking=ask_blocking, new=ask_new, close=close, free=free)
ask(), ask_blocking()
close()
in_a_child(closed=ask, closed_blocking=ask_blocking, new_after_close=ask_new)
sys.stdout.flush()
os._exit(0)
"""

# Streams that are open while their process forks: a blocking one, and one of a loop.
FORKS_WITH_STREAMS = (
    FORKS.partition("address = ")[0]
    + """
from holdfast.messages import reserve_request
address, loop = sys.argv[1], asyncio.new_event_loop()
client, blocking = Client(address), BlockingClient(address)
watch, blocking_watch = client.watch_sale("lamps"), blocking.watch_sale("lamps")
stream = client.stream_reserve(reserve_request("lamps", f"r-{number}", "ada", {"lamp": 1}) for number in range(1000))
loop.run_until_complete(anext(watch)), loop.run_until_complete(anext(stream)), next(blocking_watch)
again = lambda one: asyncio.run(asyncio.wait_for(anext(one), 5))
free = lambda: globals().update(client=None, blocking=None, watch=None, blocking_watch=None, stream=None)

in_a_child(
    watch=lambda: again(watch), stream=lambda: again(stream), blocking=lambda: next(blocking_watch),
    leave=lambda: asyncio.run(watch.aclose()), close=blocking_watch.close, free=free,
)
print("parent", loop.run_until_complete(anext(watch)).snapshot, next(blocking_watch).snapshot)
sys.stdout.flush()
os._exit(0)
"""
)


def test_a_client_in_a_forked_process_works_or_says_at_once_that_it_cannot(fake: FakeInventory) -> None:
    """gRPC's threads are missing there: a call would hang, and a channel that is freed would end the process."""
    fake.will_answer("GetSale", *[GetSaleResponse()] * 7)

    script = subprocess.run(
        [sys.executable, "-c", FORKS, fake.address], capture_output=True, text=True, timeout=LONG_S, check=True
    )

    assert script.stdout.splitlines() == [
        "unused works",
        "unused_blocking works",
        "begun works",
        "used Closed False",
        "used_blocking Closed False",
        "new Closed False",
        "close works",
        "free works",
        "closed Closed False",
        "closed_blocking Closed False",
        "new_after_close Closed False",
    ]


def unjudged(message: StreamReserveRequest) -> StreamReserveResponse:
    return StreamReserveResponse(correlation_id=message.correlation_id)


def test_streams_in_a_forked_process_say_at_once_that_they_cannot_go_on(fake: FakeInventory) -> None:
    """They end no stream of the parent, and a process that frees them ends as it should."""
    told = WatchSaleResponse(snapshot=True)
    fake.will_answer("WatchSale", [told] * 2, [told] * 2)
    fake.will_answer(
        "StreamReserve", lambda sent: (StreamReserveResponse(correlation_id=m.correlation_id) for m in sent)
    )
    # With it, gRPC's own handlers end one in five processes that are forked while a call is under way.
    without_handlers = {**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "0"}

    command = [sys.executable, "-c", FORKS_WITH_STREAMS, fake.address]
    script = subprocess.run(command, env=without_handlers, capture_output=True, text=True, timeout=LONG_S, check=True)

    assert script.stdout.splitlines() == [
        "watch Closed False",
        "stream Closed False",
        "blocking Closed False",
        "leave works",
        "close works",
        "free works",
        "parent True True",
    ]
