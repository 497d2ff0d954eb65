"""The client for callers without an event loop; made from client.py by generate_blocking.py, not by hand."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from holdfast.client import Client
from holdfast.event_loop_thread import EventLoopThread
from holdfast.inventory.v1.inventory_admin_service_pb2 import BlockBuyerResponse, CreateSaleResponse
from holdfast.inventory.v1.inventory_service_pb2 import (
    ConfirmReservationResponse,
    GetReservationResponse,
    GetSaleResponse,
    ReleaseReservationResponse,
    ReserveResponse,
)
from holdfast.retry import RetryPolicy


class BlockingClient(EventLoopThread):
    """Waits for every answer; threads may share one. The methods mean what those of `Client` mean."""

    def __init__(
        self, address: str, *, channels: int = 8, retry: RetryPolicy | None = None, use_proxy: bool = False
    ) -> None:
        super().__init__(lambda: Client(address, channels=channels, retry=retry, use_proxy=use_proxy))

    def reach(self, within_s: float) -> bool:
        """Whether a server accepts connections at the address, or at one of them; sends no call."""
        return self._wait(self._client.reach(within_s))

    def reserve(
        self,
        sale_id: str,
        reservation_id: str,
        buyer_id: str,
        lines: Mapping[str, int],
        *,
        hold_ttl: timedelta | None = None,
        reference: str = "",
    ) -> ReserveResponse:
        """Hold units (`lines`: SKU to quantity) for a buyer, all or none; returns a reservation or a rejection.

        `reference` names what they belong to, such as an order or a cart, and stays with the reservation.

        Choose one `reservation_id` for each claim and keep it: a repeat with the same id, after an error or a crash,
        returns what became of the claim and never buys twice.
        """
        return self._wait(
            self._client.reserve(sale_id, reservation_id, buyer_id, lines, hold_ttl=hold_ttl, reference=reference)
        )

    def confirm(self, sale_id: str, reservation_id: str) -> ConfirmReservationResponse:
        """Sell what is held."""
        return self._wait(self._client.confirm(sale_id, reservation_id))

    def release(
        self, sale_id: str, reservation_id: str, *, reason: str = "", spend_id: bool = False
    ) -> ReleaseReservationResponse:
        """Give back what is held; with `spend_id` also end an id whose Reserve got no answer."""
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
        """Make a sale of `items` (SKU to units). A repeat must have equal arguments, times included.

        Unset: it starts now, never ends, and holds last 10 minutes. A `hold_ttl` of zero makes each Reserve a purchase.
        A time without a zone is local time.
        """
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
        """Make the ledger refuse this buyer's orders from now on."""
        return self._wait(self._client.block_buyer(buyer_id, reason))
