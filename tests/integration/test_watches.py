"""Watches on a real Redis, over gRPC: what they tell, and every way in which they end."""

import asyncio
import random
import time
from functools import partial
from typing import Any

import grpc
import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import RESERVATION_STATE_RELEASED as RELEASED
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED, SALE_STATE_CLOSED, Item, Sale

from bench.unread_watch import open_unread_watch
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.service.watches import watched
from inventory_service.wiring import serve
from tests import ledgers
from tests.integration.server_health import is_on_page, page_of, serving
from tests.integration.test_archived_calls import insert_into_ledger
from tests.inventory_server import SHARDS, Caller, call_error, calling, error_of, open_shards, running_server
from tests.servers import StartValkey, connected
from tests.waiting import LONG_S, eventually

SALE: Any = {"sale_id": "lamp-sale"}
SILENCE_S = 5.0
SERVICE = 'service="holdfast.inventory.v1.InventoryService"'
DRAIN_S = 60.0  # for which a server waits for calls in flight, and longer than it may take to end here
SKUS = [f"lamp-{number}" for number in range(8)]


def watch_sale(caller: Caller) -> Any:
    return caller.stock.WatchSale(calls.WatchSaleRequest(**SALE))


def watch_reservation(caller: Caller, reservation_id: str) -> Any:
    return caller.stock.WatchReservation(calls.WatchReservationRequest(**SALE, reservation_id=reservation_id))


class WatchedSale:
    """A sale as the messages of its watch make it."""

    def __init__(self, watch: Any) -> None:
        self._watch = watch
        self.messages: list[calls.WatchSaleResponse] = []
        self.sale = Sale()
        self.is_over = False
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._watch:
            items = {} if message.snapshot else {item.sku: item for item in self.sale.items}
            items |= {item.sku: item for item in message.sale.items}
            self.sale.CopyFrom(message.sale)
            del self.sale.items[:]
            self.sale.items.extend(items[sku] for sku in sorted(items))
            self.messages.append(message)
        self.is_over = await self._watch.code() is grpc.StatusCode.OK


async def act_at_random(caller: Caller, chance: random.Random, number: int) -> None:
    """One of the calls that change a sale or a reservation of it; some find nothing to change, and some fail."""
    reservation: Any = {**SALE, "reservation_id": f"r-{chance.randrange(30)}"}
    sku = chance.choice(SKUS)
    line = {"sku": sku, "quantity": chance.randint(1, 3)}
    adjustment: Any = {"adjustment_id": f"a-{number}", "delta": chance.choice([-1, 2]), "reason": "counted"}
    reserve = (caller.stock.Reserve, calls.ReserveRequest(**reservation, buyer_id="ada", lines=[line]))
    title = {"sale": {**SALE, "title": f"Title {number}"}, "update_mask": {"paths": ["title"]}}
    acts: list[Any] = [
        *[reserve] * 4,
        (caller.stock.ConfirmReservation, calls.ConfirmReservationRequest(**reservation)),
        (caller.stock.ReleaseReservation, calls.ReleaseReservationRequest(**reservation)),
        (caller.admin.AdjustStock, admin.AdjustStockRequest(**SALE, sku=sku, **adjustment)),
        (caller.admin.UpdateSale, admin.UpdateSaleRequest(**title)),
    ]
    method, request = chance.choice(acts)
    await asyncio.gather(method(request), return_exceptions=True)


async def test_a_watch_tells_what_reads_tell_and_ends_with_its_sale(caller: Caller) -> None:
    """After any history the messages put together are the sale as GetSale has it; a close is told with everything."""
    chance = random.Random(7)
    await caller.create_sale(items=[Item(sku=sku, total=5) for sku in SKUS])
    told = WatchedSale(watch_sale(caller))
    for number in range(200):
        await act_at_random(caller, chance, number)
    await caller.stock.ReleaseReservation(
        calls.ReleaseReservationRequest(**SALE, reservation_id="watched", spend_id=True)
    )
    reservation = watch_reservation(caller, "watched")
    read = (await caller.stock.GetSale(calls.GetSaleRequest(**SALE))).sale

    def is_told() -> bool:
        """The watch tells the sale as it was read."""
        return told.sale == read

    await eventually(is_told)
    assert (await reservation.read()).reservation.state == RELEASED
    await caller.admin.CloseSale(admin.CloseSaleRequest(**SALE, release_holds=True))
    await asyncio.wait_for(told.reading, 30)

    positions = [message.as_of.seq for message in told.messages]
    assert positions == sorted(positions)
    assert [message.snapshot for message in told.messages].count(True) == 2
    assert {len(message.sale.items) for message in told.messages[1:-1]} != {len(SKUS)}
    assert (told.is_over, told.sale.state) == (True, SALE_STATE_CLOSED)
    assert told.sale == (await caller.stock.GetSale(calls.GetSaleRequest(**SALE))).sale


async def test_what_is_not_there_is_not_found_and_what_is_archived_is_told_once(caller: Caller, database: str) -> None:
    """As GetSale and GetReservation say; what only the ledger has does not change any more."""
    errors = [await error_of(watch_sale(caller).read()), await error_of(watch_reservation(caller, "r-9").read())]
    await insert_into_ledger(database, "CONFIRMED")
    async with connected(database) as ledger:
        await ledgers.open_shards(ledger, [0], of=SHARDS)
        await ledger.execute("update sale set close_time = now(), end_time = now(), left_time = now()")
    sale, reservation = watch_sale(caller), watch_reservation(caller, "r-1")
    told, ended = await sale.read(), await reservation.read()

    assert [error.reason for error in errors] == ["SALE_NOT_FOUND", "SALE_NOT_FOUND"]
    assert (told.snapshot, told.sale.state, ended.reservation.revision) == (True, SALE_STATE_ARCHIVED, 2)
    assert [await watch.read() is grpc.aio.EOF for watch in (sale, reservation)] == [True, True]
    assert {await watch.code() for watch in (sale, reservation)} == {grpc.StatusCode.OK}


async def test_a_draining_server_ends_its_watches_at_once(valkey: str, database: str) -> None:
    """With a reason; one that is never read is no obstacle, and one that its caller cancelled is counted as that."""
    drain = {"HOLDFAST_DRAIN_S": f"{DRAIN_S:g}"}
    async with serving(valkey, database, **drain) as server, calling(server.address) as caller:
        await caller.create_sale(items=[Item(sku=f"{number:064}", total=1) for number in range(1000)])
        watch, cancelled = watch_sale(caller), watch_sale(caller)
        unread = open_unread_watch(server.address, "lamp-sale")
        await watch.read()
        await cancelled.read()
        await eventually(lambda: is_on_page(server, "holdfast_watches_open 3.0"))
        cancelled.cancel()
        await eventually(lambda: is_on_page(server, "holdfast_watches_open 2.0"))
        page = await page_of(server)
        server.terminate()
        error = await error_of(watch.read())

        assert await server.ended() == 0
        unread.close()

    assert (error.code, error.reason, error.retries) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", True)
    assert f'holdfast_rpc_calls_total{{code="CANCELLED",method="WatchSale",{SERVICE}}} 1.0' in page


async def test_a_watch_outlives_a_take_over_and_not_its_redis(
    start_valkey: StartValkey, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of Redis shorter than five seconds is not told; a longer one ends the watch, which may begin again."""
    monkeypatch.setattr(watched, "SILENCE_S", LONG_S)  # which the restart is shorter than on any machine
    valkey = start_valkey()
    await open_shards(valkey.address)
    async with running_server(valkey.address, database) as address, calling(address) as caller:
        await caller.create_sale()
        watch = watch_sale(caller)
        await watch.read()
        valkey.stop()
        valkey.start()
        await open_shards(valkey.address, epoch=2)
        await eventually(lambda: is_read(caller))
        await caller.reserve("r-1")
        after = await watch.read()
        monkeypatch.setattr(watched, "SILENCE_S", SILENCE_S)
        valkey.stop()
        stopped = time.monotonic()
        error = await error_of(watch.read())
        silent_s = time.monotonic() - stopped
        valkey.start()
        await open_shards(valkey.address, epoch=3)
        again = await watch_sale(caller).read()

    assert (after.as_of.epoch, [item.held for item in after.sale.items]) == (2, [1])
    assert (error.code, error.reason, error.retries) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNREACHABLE", True)
    assert SILENCE_S - 0.5 < silent_s < LONG_S  # the former, on a busy machine
    assert (again.snapshot, again.as_of.epoch) == (True, 3)


async def is_read(caller: Caller) -> bool:
    """Redis is asked; where its restart took long, the breaker lets no call through for a moment."""
    [answer] = await asyncio.gather(caller.stock.GetSale(calls.GetSaleRequest(**SALE)), return_exceptions=True)
    if isinstance(answer, grpc.aio.AioRpcError):
        assert call_error(answer).reason == "STORE_UNREACHABLE"
    return isinstance(answer, calls.GetSaleResponse)


async def test_an_old_stream_ends_with_a_reason(valkey: str, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before gRPC cuts it without one."""
    monkeypatch.setattr(serve, "StreamLife", partial(StreamLife, shortest_s=3.0, longest_s=3.1))
    await open_shards(valkey)
    async with running_server(valkey, database) as address, calling(address) as caller:
        await caller.create_sale()
        await caller.reserve("r-1")
        watches = [watch_sale(caller), watch_reservation(caller, "r-1")]
        first = [await watch.read() for watch in watches]
        errors = [await error_of(watch.read()) for watch in watches]

    assert [message is grpc.aio.EOF for message in first] == [False, False]
    assert {(error.code, error.reason, error.retries) for error in errors} == {
        (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING", True)
    }
