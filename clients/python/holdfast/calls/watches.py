"""The watches: a sale or a reservation, now and whenever it changes."""

from holdfast.caller import Caller
from holdfast.inventory.v1.inventory_service_pb2 import (
    WatchReservationRequest,
    WatchReservationResponse,
    WatchSaleRequest,
    WatchSaleResponse,
)
from holdfast.streams import Stream
from holdfast.watches import Watch

SALE_QUIET_S = 35.0  # a server sends a message at least once in 15 seconds
RESERVATION_QUIET_S = 300.0  # a server ends each watch before that


class WatchCalls(Caller):
    """Each method returns an iterator, which asks another server by itself where one stops or is lost.

    The first message is the whole, and so is the first after that. NOT_FOUND is raised, and so is an error that
    outlasts the patience: the time without a message.
    """

    def watch_sale(self, sale_id: str) -> Stream[WatchSaleResponse]:
        """A sale, now and as it changes, until it is closed and nothing in it is held.

        A `snapshot` has all items, the messages after it those that have changed. All numbers are absolute.
        """
        request = WatchSaleRequest(sale_id=sale_id)
        return Watch(
            lambda stubs: stubs.buyers.WatchSale, request, self._metadata_of, self._pool, self._retry, SALE_QUIET_S
        )

    def watch_reservation(self, sale_id: str, reservation_id: str) -> Stream[WatchReservationResponse]:
        """A reservation, now and after each change, until the ledger has it and it is not held."""
        request = WatchReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return Watch(
            lambda stubs: stubs.buyers.WatchReservation,
            request,
            self._metadata_of,
            self._pool,
            self._retry,
            RESERVATION_QUIET_S,
        )
