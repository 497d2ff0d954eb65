"""Calls that watch a sale or a reservation: a stream of messages, made once for all watches that are sent the same."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.duration_pb2 import Duration
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED, SALE_STATE_CLOSED

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.watches import SaleUpdate
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.calls.reads import reservation_named, sale_named
from inventory_service.rpc.messages import duration, position_to_proto, reservation_to_proto, sale_to_proto, timestamp
from inventory_service.rpc.status import CallFailed, failed
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.service.watches.watched import Watch
from inventory_service.service.watches.watches import Watches

RETRY_WITHIN_MS = 2000  # after a shard was away: so its watches do not all come back at once


class WatchCalls:
    """Each stream has one message at a time under way: a caller that does not read has the stream wait."""

    def __init__(self, watches: Watches, life: StreamLife) -> None:
        self._watches = watches
        self._life = life

    async def WatchSale(self, request: calls.WatchSaleRequest, context: Context) -> None:
        """Send a sale now and as it changes."""
        sale = sale_named(request, tenant_of(context))
        with self._watches.sale(sale) as watch:
            await self._send(watch, context, sale, "")

    async def WatchReservation(self, request: calls.WatchReservationRequest, context: Context) -> None:
        """Send a reservation now and after each change."""
        sale, reservation_id = reservation_named(request, tenant_of(context))
        with self._watches.reservation(sale, reservation_id) as watch:
            await self._send(watch, context, sale, reservation_id)

    async def _send(self, watch: Watch, context: Context, sale: SaleKey, reservation_id: str) -> None:
        async with self._lifetime():
            while (message := await watch.next()) is not None:
                if isinstance(message, Failure):
                    about = failed(message, sale, reservation_id)
                    raise CallFailed(about.failure, retry_ms=random.randint(0, RETRY_WITHIN_MS))
                await context.write(message)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        """Break off at the end of the stream's life, also in the middle of a message that its caller does not read."""
        task = asyncio.current_task()
        assert task is not None, "gRPC runs each call in a task"
        is_over = is_left = False

        def end(life: "asyncio.Task[None]") -> None:
            nonlocal is_over
            if not (is_left or life.cancelled()):
                is_over = True
                task.cancel()

        life = asyncio.create_task(self._life.over())
        life.add_done_callback(end)
        try:
            yield
        except asyncio.CancelledError:
            if not is_over or task.uncancel() > 0:
                raise
            raise CallFailed(Failure(reasons.ERROR_REASON_SERVER_DRAINING)) from None
        finally:
            is_left = True
            life.cancel()


class WatchMessages:
    """Makes the messages of watches, serialized already."""

    def sale(self, update: SaleUpdate) -> bytes:
        """What is new of a sale."""
        settings, now_ms = update.sale.settings, update.read_time_ms
        is_closed = update.sale.state in (SALE_STATE_CLOSED, SALE_STATE_ARCHIVED)
        end_ms = now_ms if is_closed or settings.end_time_ms is None else settings.end_time_ms
        return calls.WatchSaleResponse(
            sale=sale_to_proto(update.sale),
            snapshot=update.is_snapshot,
            read_time=timestamp(now_ms),
            until_start=_until(now_ms if is_closed else settings.start_time_ms, now_ms),
            until_end=_until(end_ms, now_ms),
            as_of=position_to_proto(update.as_of),
            ledger_lag=None if update.lag_ms is None else duration(update.lag_ms),
        ).SerializeToString()

    def reservation(self, read: ReservationRead) -> bytes:
        """A reservation as it stands."""
        return calls.WatchReservationResponse(
            reservation=reservation_to_proto(read.reservation), read_time=timestamp(read.read_time_ms)
        ).SerializeToString()


def _until(moment_ms: int, now_ms: int) -> Duration | None:
    """How long it is until then; None: it is past."""
    return duration(moment_ms - now_ms) if moment_ms > now_ms else None
