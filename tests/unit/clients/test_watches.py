"""Watches of the client: they go on at another server, and they end when their caller wants them to."""

import asyncio
import threading
from dataclasses import replace
from functools import partial

import grpc
import pytest
from holdfast import errors
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import (
    WatchReservationRequest,
    WatchReservationResponse,
    WatchSaleRequest,
    WatchSaleResponse,
)
from holdfast.inventory.v1.reservation_pb2 import Reservation
from holdfast.inventory.v1.sale_pb2 import Sale
from holdfast.retry import Attempts, RetryPolicy

from tests.unit.clients.fake_inventory import ErrorStatus, FakeInventory, error_status, running_fake, unavailable
from tests.unit.clients.interrupts import interrupt_once
from tests.waiting import LONG_S, eventually

PATIENT = RetryPolicy(overall_s=LONG_S, attempt_s=LONG_S, ledger_attempt_s=LONG_S, first_delay_s=0.001)
FIRST, SECOND, THIRD = (WatchSaleResponse(sale=Sale(etag=f"e-{number}")) for number in (1, 2, 3))
DRAINING = unavailable(ErrorReason.ERROR_REASON_SERVER_DRAINING)
LOST = ErrorStatus(grpc.StatusCode.UNAVAILABLE)
INTERNAL = ErrorStatus(grpc.StatusCode.INTERNAL)
AWAY = unavailable(ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)


async def test_a_watch_ends_where_the_server_ends_it(fake: FakeInventory) -> None:
    """All messages come, in their order, and then the loop ends."""
    fake.will_answer("WatchSale", [FIRST, SECOND])

    async with Client(fake.address, retry=PATIENT) as client:
        messages = [message async for message in client.watch_sale("lamps")]

    assert messages == [FIRST, SECOND]
    assert fake.asked == [WatchSaleRequest(sale_id="lamps")]


async def test_a_reservation_is_watched(fake: FakeInventory) -> None:
    """By both of its ids."""
    told = WatchReservationResponse(reservation=Reservation(revision=2))
    fake.will_answer("WatchReservation", [told])

    async with Client(fake.address, retry=PATIENT) as client:
        assert [message async for message in client.watch_reservation("lamps", "r-1")] == [told]

    assert fake.asked == [WatchReservationRequest(sale_id="lamps", reservation_id="r-1")]


@pytest.mark.parametrize("end", [DRAINING, LOST, AWAY, INTERNAL], ids=["draining", "lost", "away", "internal"])
async def test_a_watch_that_breaks_goes_on(fake: FakeInventory, end: ErrorStatus) -> None:
    """Whether it breaks before or after a message: the next server tells how the sale stands."""
    fake.will_answer("WatchSale", [FIRST, end], end, [SECOND])

    async with Client(fake.address, retry=PATIENT) as client:
        messages = [message async for message in client.watch_sale("lamps")]

    assert messages == [FIRST, SECOND]


async def test_a_watch_goes_on_at_another_server(fake: FakeInventory) -> None:
    """The one that it was at has stopped: its connection is gone, and nothing listens there."""
    with running_fake() as other:
        other.will_answer("WatchSale", [SECOND])
        with running_fake() as stopping:
            stopping.will_answer("WatchSale", [FIRST, threading.Event()])
            async with Client(f"{other.address},{stopping.address}", channels=2, retry=PATIENT) as client:
                watch = client.watch_sale("lamps")
                first = await anext(watch)
                stopping.stop()

                rest = [message async for message in watch]

    assert (first, rest) == (FIRST, [SECOND])


async def test_the_patience_begins_anew_with_each_message(fake: FakeInventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch lives for hours, and breaks now and then: here each six seconds, with a patience of ten."""
    messages: list[WatchSaleResponse] = []
    monkeypatch.setattr("holdfast.watches.Attempts", partial(Attempts, clock=lambda: 6.0 * len(messages)))
    for _ in range(5):
        fake.will_answer("WatchSale", [FIRST, LOST])
    fake.will_answer("WatchSale", [])

    async with Client(fake.address, retry=replace(PATIENT, overall_s=10)) as client:
        async for message in client.watch_sale("lamps"):
            messages.append(message)

    assert messages == [FIRST] * 5


async def test_a_watch_without_a_message_gives_up(fake: FakeInventory) -> None:
    """Its error is the last one that came, and leaves nothing unknown. It takes no budget from other calls."""
    too_long = unavailable(ErrorReason.ERROR_REASON_SHARD_NOT_SERVING, 3600.0)
    fake.will_answer("WatchSale", *[AWAY] * 10, too_long)
    policy = RetryPolicy(overall_s=60, first_delay_s=0.001, longest_delay_s=0.01, repeats_per_s=0)

    async with Client(fake.address, retry=policy) as client:
        with pytest.raises(errors.ShardNotServing) as raised:
            await anext(client.watch_sale("lamps"))

    assert not raised.value.outcome_unknown
    assert len(fake.asked) == 11


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (error_status(grpc.StatusCode.NOT_FOUND, ErrorReason.ERROR_REASON_SALE_NOT_FOUND), errors.SaleNotFound),
        (error_status(grpc.StatusCode.UNAUTHENTICATED, ErrorReason.ERROR_REASON_TOKEN_REVOKED), errors.TokenRevoked),
        (ErrorStatus(grpc.StatusCode.UNIMPLEMENTED), errors.NotBuilt),
    ],
)
async def test_an_error_that_no_other_server_mends_is_raised(
    fake: FakeInventory, status: ErrorStatus, kind: type[errors.HoldfastError]
) -> None:
    """Once; then the iteration has ended."""
    fake.will_answer("WatchSale", [FIRST, status])

    async with Client(fake.address, retry=PATIENT) as client:
        watch = client.watch_sale("lamps")
        await anext(watch)
        with pytest.raises(kind, match="sale lamps"):
            await anext(watch)
        with pytest.raises(StopAsyncIteration):
            await anext(watch)

    assert len(fake.asked) == 1


@pytest.mark.parametrize("before", [[], [FIRST]], ids=["at first", "later"])
async def test_a_server_that_falls_silent_is_left(
    fake: FakeInventory, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch, before: list[WatchSaleResponse]
) -> None:
    """A process that hangs keeps its connections, and its watches would show an old stock for ever.

    On a slow machine a later answer may take longer than the limit, too: then one more server is asked.
    """
    monkeypatch.setattr("holdfast.watches.GRACE_S", 0.0)
    monkeypatch.setattr("holdfast.calls.watches.SALE_QUIET_S", 0.05)
    fake.will_answer("WatchSale", [*before, hanging], *(lambda _: SECOND for _ in range(100)))
    policy = RetryPolicy(overall_s=LONG_S, ledger_attempt_s=LONG_S if before else 0.05, first_delay_s=0.001)

    async with Client(fake.address, retry=policy) as client:
        messages = [message async for message in client.watch_sale("lamps")]

        assert messages[: len(before) + 1] == [*before, SECOND]
        await eventually(lambda: len(fake.ended) == len(fake.asked))
        assert len(fake.asked) > 1


async def test_a_slow_reader_misses_no_message(fake: FakeInventory) -> None:
    """It reads one after the other, and none is read for it ahead."""
    fake.will_answer("WatchSale", [FIRST, SECOND, THIRD])

    async with Client(fake.address, retry=PATIENT) as client:
        messages = []
        async for message in client.watch_sale("lamps"):
            await asyncio.sleep(0.05)
            messages.append(message)

    assert messages == [FIRST, SECOND, THIRD]


async def test_leaving_the_loop_ends_the_call(fake: FakeInventory, hanging: threading.Event) -> None:
    """A stream that nothing reads would stay open for minutes."""
    fake.will_answer("WatchSale", [FIRST, hanging])

    async with Client(fake.address, retry=PATIENT) as client:
        async for _ in client.watch_sale("lamps"):
            break
        await eventually(lambda: fake.ended)


async def test_aclose_ends_the_call_and_the_iteration(fake: FakeInventory, hanging: threading.Event) -> None:
    """Also of another task, which is waiting for the next message."""
    fake.will_answer("WatchSale", [FIRST, hanging], [FIRST, hanging])

    async with Client(fake.address, retry=PATIENT) as client:
        async with client.watch_sale("lamps") as left:
            await anext(left)
        await eventually(lambda: len(fake.ended) == 1)

        watch = client.watch_sale("lamps")
        await anext(watch)
        waiting = asyncio.ensure_future(anext(watch, None))
        await asyncio.sleep(0)
        await watch.aclose()

        assert await waiting is None
        await eventually(lambda: len(fake.ended) == 2)


async def test_a_watch_whose_reader_is_cancelled_is_cancelled(fake: FakeInventory, hanging: threading.Event) -> None:
    """It raises what Python raises, and has ended."""
    fake.will_answer("WatchSale", [hanging])

    async with Client(fake.address, retry=PATIENT) as client:
        watch = client.watch_sale("lamps")
        waiting = asyncio.ensure_future(anext(watch, None))
        await eventually(lambda: fake.asked)
        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: fake.ended)
        assert await anext(watch, None) is None


async def test_one_task_reads_a_watch(fake: FakeInventory, hanging: threading.Event) -> None:
    """Two would each get a part of the messages, which is a mistake, and no error of the watch."""
    fake.will_answer("WatchSale", [hanging])

    async with Client(fake.address, retry=PATIENT) as client:
        watch = client.watch_sale("lamps")
        waiting = asyncio.ensure_future(anext(watch, None))
        await eventually(lambda: fake.asked)

        with pytest.raises(RuntimeError, match="waits"):
            await anext(watch)
        assert not waiting.done()
        await watch.aclose()
        await waiting


async def test_close_ends_watches(fake: FakeInventory, hanging: threading.Event) -> None:
    """One that waits for a message, and one whose reader is busy; both have ended when it returns."""
    fake.will_answer("WatchSale", [FIRST, hanging], [FIRST, hanging])
    client = Client(fake.address, retry=PATIENT)
    busy, idle = client.watch_sale("lamps"), client.watch_sale("lamps")
    await anext(busy)
    await anext(idle)
    waiting = asyncio.ensure_future(anext(idle, None))
    await asyncio.sleep(0)

    await client.close()

    assert isinstance(waiting.exception(), errors.Closed)
    with pytest.raises(errors.Closed):
        await anext(busy)
    await eventually(lambda: len(fake.ended) == 2)


async def test_options_apply_to_watches(fake: FakeInventory) -> None:
    """Metadata goes with each attempt, and so does the token of the moment."""
    tokens = iter(["t-1", "t-2"])
    fake.will_answer("WatchSale", [FIRST, DRAINING], [])

    async with Client(fake.address, retry=PATIENT, token=lambda: next(tokens)) as client:
        tagged = client.with_options(metadata=[("x-request-id", "8f3a")])
        assert [message async for message in tagged.watch_sale("lamps")] == [FIRST]

    sent = [(each["authorization"], each["x-request-id"]) for each in fake.metadata]
    assert sent == [("Bearer t-1", "8f3a"), ("Bearer t-2", "8f3a")]


def test_a_watch_of_the_blocking_client(fake: FakeInventory, hanging: threading.Event) -> None:
    """It goes on at another server too, and leaving the loop ends the call."""
    fake.will_answer("WatchSale", [FIRST, DRAINING], [SECOND], [FIRST, hanging])

    with BlockingClient(fake.address, retry=PATIENT) as client:
        assert list(client.watch_sale("lamps")) == [FIRST, SECOND]
        for _ in client.watch_sale("lamps"):
            break
        asyncio.run(eventually(lambda: len(fake.ended) == 3))


def test_another_thread_closes_a_blocking_watch(fake: FakeInventory, hanging: threading.Event) -> None:
    """The loop over it ends, as at its end."""
    fake.will_answer("WatchSale", [FIRST, hanging])

    with BlockingClient(fake.address, retry=PATIENT) as client:
        watch = client.watch_sale("lamps")
        assert next(watch) == FIRST
        closing = threading.Timer(0.05, watch.close)
        closing.start()
        assert list(watch) == []
        closing.join()
        watch.close()
        asyncio.run(eventually(lambda: fake.ended))


def test_a_blocking_client_that_closes_ends_its_watches(fake: FakeInventory, hanging: threading.Event) -> None:
    """The thread that waits for a message does not wait for ever."""
    fake.will_answer("WatchSale", [FIRST, hanging])
    client = BlockingClient(fake.address, retry=PATIENT)
    watch = client.watch_sale("lamps")
    next(watch)

    closing = threading.Timer(0.05, client.close)
    closing.start()
    with pytest.raises(errors.Closed):
        next(watch)
    closing.join()
    watch.close()


def test_ctrl_c_ends_a_blocking_watch(fake: FakeInventory, hanging: threading.Event) -> None:
    """The exception interrupts the wait, the call has ended, and so has the iteration."""
    fake.will_answer("WatchSale", [hanging])
    interrupt = threading.Thread(target=interrupt_once, args=(fake, threading.get_ident()))

    with BlockingClient(fake.address, retry=PATIENT) as client:
        watch = client.watch_sale("lamps")
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            next(watch)
        interrupt.join()

        asyncio.run(eventually(lambda: fake.ended))
        assert list(watch) == []
