"""The client for callers without an event loop: the asyncio client on a loop of its own, in a thread of its own."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import BlockBuyerResponse, CreateSaleResponse
from holdfast.inventory.v1.inventory_service_pb2 import (
    ConfirmReservationResponse,
    GetReservationResponse,
    GetSaleResponse,
    ReleaseReservationResponse,
    ReserveResponse,
)
from holdfast.retry import RetryPolicy

Response = TypeVar("Response")


class BlockingClient:
    """Waits for every answer; threads may share one. The methods mean what those of `Client` mean."""

    def __init__(self, address: str, *, channels: int = 8, retry: RetryPolicy | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="holdfast-client", daemon=True)
        self._thread.start()
        self._client = self._wait(_made_inside(address, channels, retry))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections and the thread; calls of other threads that are under way are cancelled."""
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reserve(
        self,
        sale_id: str,
        reservation_id: str,
        buyer_id: str,
        lines: Mapping[str, int],
        *,
        hold_ttl: timedelta | None = None,
    ) -> ReserveResponse:
        """Hold units for a buyer, all or none; the response carries a reservation or a rejection."""
        return self._wait(self._client.reserve(sale_id, reservation_id, buyer_id, lines, hold_ttl=hold_ttl))

    def confirm(self, sale_id: str, reservation_id: str) -> ConfirmReservationResponse:
        """Sell what is held."""
        return self._wait(self._client.confirm(sale_id, reservation_id))

    def release(
        self, sale_id: str, reservation_id: str, *, reason: str = "", spend_id: bool = False
    ) -> ReleaseReservationResponse:
        """Give back what is held; with `spend_id` also end an id whose Reserve was never answered."""
        return self._wait(self._client.release(sale_id, reservation_id, reason=reason, spend_id=spend_id))

    def get_reservation(self, sale_id: str, reservation_id: str) -> GetReservationResponse:
        """Read a reservation."""
        return self._wait(self._client.get_reservation(sale_id, reservation_id))

    def get_sale(self, sale_id: str) -> GetSaleResponse:
        """Read a sale and its stock."""
        return self._wait(self._client.get_sale(sale_id))

    def create_sale(
        self,
        sale_id: str,
        items: Mapping[str, int],
        *,
        title: str = "",
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        hold_ttl: timedelta | None = None,
        max_hold_ttl: timedelta | None = None,
        buyer_limit: int = 0,
    ) -> CreateSaleResponse:
        """Make a sale of `items` (SKU to units)."""
        return self._wait(
            self._client.create_sale(
                sale_id,
                items,
                title=title,
                start_time=start_time,
                end_time=end_time,
                hold_ttl=hold_ttl,
                max_hold_ttl=max_hold_ttl,
                buyer_limit=buyer_limit,
            )
        )

    def block_buyer(self, buyer_id: str, reason: str) -> BlockBuyerResponse:
        """Let the ledger refuse this buyer's orders from now on."""
        return self._wait(self._client.block_buyer(buyer_id, reason))

    def _wait(self, answer: Coroutine[Any, Any, Response]) -> Response:
        """The answer, once the loop has it; how long that may take is the retry policy's business."""
        return asyncio.run_coroutine_threadsafe(answer, self._loop).result()


async def _made_inside(address: str, channels: int, retry: RetryPolicy | None) -> Client:
    """Channels belong to the loop in which they are made."""
    return Client(address, channels=channels, retry=retry)
