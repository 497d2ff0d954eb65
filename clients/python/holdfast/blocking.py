"""The client for callers without an event loop; made from `Client` by generate_blocking.py, not by hand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Self, Unpack

from grpc import aio

from holdfast.access import Tls, Token, from_environment
from holdfast.blocking_iterators import BlockingPages, BlockingStream
from holdfast.bulk.threaded_requests import ThreadedRequests
from holdfast.calls.sales import SaleSettings
from holdfast.client import Client
from holdfast.errors import HoldfastError
from holdfast.event_loop_thread import EventLoopThread
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    AdjustStockResponse,
    AuditSaleResponse,
    BlockBuyerResponse,
    BlockedBuyer,
    CloseSaleResponse,
    CreateSaleResponse,
    DeadLetter,
    DeadLetterState,
    ListAdjustmentsResponse,
    ListBlockedBuyersResponse,
    ListDeadLettersResponse,
    ListSalesResponse,
    PauseSaleResponse,
    ReplayDeadLetterResponse,
    ResumeSaleResponse,
    RevokeTokensResponse,
    UnblockBuyerResponse,
    UpdateSaleResponse,
)
from holdfast.inventory.v1.inventory_service_pb2 import (
    ChangeReservationResponse,
    ConfirmReservationResponse,
    ExtendReservationResponse,
    GetReservationResponse,
    GetSaleResponse,
    ListReservationsResponse,
    ReleaseReservationResponse,
    ReserveRequest,
    ReserveResponse,
    ReturnReservationResponse,
    WatchReservationResponse,
    WatchSaleResponse,
)
from holdfast.inventory.v1.reservation_pb2 import Position, Reservation, ReservationState
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale, SaleState
from holdfast.retry import RetryPolicy


class BlockingClient(EventLoopThread):
    """Waits for every answer; threads may share one. The methods mean what those of `Client` mean."""

    def __init__(
        self,
        address: str,
        *,
        channels: int = 8,
        retry: RetryPolicy | None = None,
        use_proxy: bool = False,
        tls: Tls | None = None,
        token: Token | None = None,
        user_agent: str = "",
        interceptors: Sequence[aio.ClientInterceptor] = (),
        coalesce: bool = False,
    ) -> None:
        super().__init__(
            Client(
                address,
                channels=channels,
                retry=retry,
                use_proxy=use_proxy,
                tls=tls,
                token=token,
                user_agent=user_agent,
                interceptors=interceptors,
                coalesce=coalesce,
            )
        )

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """A client of the server that the environment names, as `Client.from_env` says."""
        return cls(**{**from_environment(), **arguments})

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

        `reference` names what they belong to, such as an order or a cart, and stays with the reservation. It is an id:
        1 to 64 characters of letters, digits and . _ : -

        Choose one `reservation_id` for each claim and keep it: a repeat with the same id, after an error or a crash,
        returns what became of the claim and never buys twice.
        """
        return self._wait(
            self._client.reserve(sale_id, reservation_id, buyer_id, lines, hold_ttl=hold_ttl, reference=reference)
        )

    def confirm(
        self,
        sale_id: str,
        reservation_id: str,
        *,
        lines: Mapping[str, int] | None = None,
        expected_revision: int | None = None,
    ) -> ConfirmReservationResponse:
        """Sell what is held or, with `lines`, these units alone, and give the rest back."""
        return self._wait(
            self._client.confirm(sale_id, reservation_id, lines=lines, expected_revision=expected_revision)
        )

    def release(
        self,
        sale_id: str,
        reservation_id: str,
        *,
        reason: str = "",
        spend_id: bool = False,
        expected_revision: int | None = None,
    ) -> ReleaseReservationResponse:
        """Give back what is held; with `spend_id` also end an id whose Reserve got no answer."""
        return self._wait(
            self._client.release(
                sale_id, reservation_id, reason=reason, spend_id=spend_id, expected_revision=expected_revision
            )
        )

    def extend(
        self,
        sale_id: str,
        reservation_id: str,
        hold_ttl: timedelta | None = None,
        *,
        by: timedelta | None = None,
        expected_revision: int | None = None,
    ) -> ExtendReservationResponse:
        """Let a hold live for `hold_ttl` from its creation, or `by` so long from now; it never becomes shorter.

        The sale's `max_hold_ttl` cuts it, so read the `expire_time` that is returned. With `by` the reservation is read
        first, within the same patience. A second call with the same `by` extends again, and one with the same
        `hold_ttl` does not.
        """
        return self._wait(
            self._client.extend(sale_id, reservation_id, hold_ttl, by=by, expected_revision=expected_revision)
        )

    def change(
        self, sale_id: str, reservation_id: str, lines: Mapping[str, int], *, expected_revision: int | None = None
    ) -> ChangeReservationResponse:
        """Hold these lines instead, all or none; returns the reservation, or the rejection that left it as it was.

        SKUs that are not named are given back.
        """
        return self._wait(self._client.change(sale_id, reservation_id, lines, expected_revision=expected_revision))

    def return_(
        self,
        sale_id: str,
        reservation_id: str,
        reason: str,
        *,
        lines: Mapping[str, int] | None = None,
        discard: bool = False,
        expected_revision: int | None = None,
    ) -> ReturnReservationResponse:
        """Take sold units back: all of them or, with `lines`, until so many have come back in all.

        Earlier returns count in `lines`, so a repeat takes nothing more. They are sold again, unless `discard` takes
        what comes back with this call out of the sale.
        """
        return self._wait(
            self._client.return_(
                sale_id, reservation_id, reason, lines=lines, discard=discard, expected_revision=expected_revision
            )
        )

    def get_reservation(self, sale_id: str, reservation_id: str) -> GetReservationResponse:
        """Read a reservation."""
        return self._wait(self._client.get_reservation(sale_id, reservation_id))

    def get_sale(self, sale_id: str) -> GetSaleResponse:
        """Read a sale and its stock."""
        return self._wait(self._client.get_sale(sale_id))

    def batch_reserve(self, requests: Sequence[ReserveRequest]) -> list[ReserveResponse | HoldfastError]:
        """What `reserve` would answer to each request, in their order; what it would raise stands in its place.

        A request that could not be judged is repeated with the others of its kind, as far as the patience goes. More
        than 500 are sent in several calls, one after the other, each with the patience of one.
        """
        return self._wait(self._client.batch_reserve(requests))

    def stream_reserve(
        self, requests: Iterable[ReserveRequest]
    ) -> BlockingStream[tuple[ReserveRequest, ReserveResponse | HoldfastError]]:
        """What `reserve` would answer to each request, as the answers come, each with its request.

        Requests are taken while fewer than 256 are without an answer that the caller has taken. What a server that
        stops has not answered goes on at another one, and what could not be judged is repeated. An error stands in
        the place of an answer; only a client that is closed, and `requests` themselves, end the iteration by one.
        """
        return self._stream(self._client.stream_reserve(ThreadedRequests(requests)))

    def watch_sale(self, sale_id: str) -> BlockingStream[WatchSaleResponse]:
        """A sale, now and as it changes, until it is closed and nothing in it is held.

        A `snapshot` has all items, the messages after it those that have changed. All numbers are absolute.
        """
        return self._stream(self._client.watch_sale(sale_id))

    def watch_reservation(self, sale_id: str, reservation_id: str) -> BlockingStream[WatchReservationResponse]:
        """A reservation, now and after each change, until the ledger has it and it is not held."""
        return self._stream(self._client.watch_reservation(sale_id, reservation_id))

    def list_reservations(
        self,
        *,
        buyer_id: str = "",
        sale_id: str = "",
        reference: str = "",
        states: Sequence[ReservationState] = (),
        at_least: Position | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> BlockingPages[Reservation, ListReservationsResponse]:
        """Reservations of a buyer, of a sale, or with a reference; at least one of the three is given.

        With `at_least`, such as the `position` of a reservation, a page waits until the ledger holds that change.
        """
        return self._pages(
            self._client.list_reservations(
                buyer_id=buyer_id,
                sale_id=sale_id,
                reference=reference,
                states=states,
                at_least=at_least,
                page_size=page_size,
                page_token=page_token,
            )
        )

    def list_sales(
        self, *, states: Sequence[SaleState] = (), page_size: int = 0, page_token: str = ""
    ) -> BlockingPages[Sale, ListSalesResponse]:
        """Sales, without their items, which `get_sale` has."""
        return self._pages(self._client.list_sales(states=states, page_size=page_size, page_token=page_token))

    def list_adjustments(
        self, sale_id: str, *, sku: str = "", page_size: int = 0, page_token: str = ""
    ) -> BlockingPages[Adjustment, ListAdjustmentsResponse]:
        """Changes of the stock of a sale, or of one of its items."""
        return self._pages(self._client.list_adjustments(sale_id, sku=sku, page_size=page_size, page_token=page_token))

    def list_dead_letters(
        self, *, sale_id: str = "", states: Sequence[DeadLetterState] = (), page_size: int = 0, page_token: str = ""
    ) -> BlockingPages[DeadLetter, ListDeadLettersResponse]:
        """Orders that the ledger refused for good."""
        return self._pages(
            self._client.list_dead_letters(sale_id=sale_id, states=states, page_size=page_size, page_token=page_token)
        )

    def list_blocked_buyers(
        self, *, page_size: int = 0, page_token: str = ""
    ) -> BlockingPages[BlockedBuyer, ListBlockedBuyersResponse]:
        """Buyers who are blocked; its pages have no `complete_time`."""
        return self._pages(self._client.list_blocked_buyers(page_size=page_size, page_token=page_token))

    def create_sale(
        self,
        sale_id: str,
        items: Mapping[str, int],
        *,
        item_limits: Mapping[str, int] | None = None,
        **settings: Unpack[SaleSettings],
    ) -> CreateSaleResponse:
        """Make a sale of `items` (SKU to units). A repeat must have equal arguments, times included.

        `title`, for people. `start_time` and `end_time`: now and never if not given; a time without a zone is local.
        `hold_ttl`: how long a hold lasts, 10 minutes if not given; zero makes each Reserve a purchase. `max_hold_ttl`:
        the longest that a buyer may ask for. `buyer_limit`: units that one buyer may hold and own; `item_limits` (SKU
        to units) are the same of single items. `attempts_per_minute` of one buyer. `return_window`: for how long after
        its end sold units can come back.
        """
        return self._wait(self._client.create_sale(sale_id, items, item_limits=item_limits, **settings))

    def update_sale(
        self,
        sale_id: str,
        *,
        items: Mapping[str, int] | None = None,
        item_limits: Mapping[str, int] | None = None,
        etag: str = "",
        **settings: Unpack[SaleSettings],
    ) -> UpdateSaleResponse:
        """Change the settings that are given, and no others; one that is None becomes what it is in a sale without it.

        `items` (SKU to units) adds those that are missing and changes none that is there; `adjust_stock` does that.
        """
        return self._wait(
            self._client.update_sale(sale_id, items=items, item_limits=item_limits, etag=etag, **settings)
        )

    def pause_sale(self, sale_id: str, *, reason: str = "", etag: str = "") -> PauseSaleResponse:
        """Stop selling until `resume_sale`; holds go on."""
        return self._wait(self._client.pause_sale(sale_id, reason=reason, etag=etag))

    def resume_sale(self, sale_id: str, *, reason: str = "", etag: str = "") -> ResumeSaleResponse:
        """Sell again after `pause_sale`."""
        return self._wait(self._client.resume_sale(sale_id, reason=reason, etag=etag))

    def close_sale(
        self, sale_id: str, *, release_holds: bool = False, reason: str = "", etag: str = ""
    ) -> CloseSaleResponse:
        """Stop selling for good; with `release_holds` also give back all that is held, at this very moment."""
        return self._wait(self._client.close_sale(sale_id, release_holds=release_holds, reason=reason, etag=etag))

    def adjust_stock(
        self,
        sale_id: str,
        sku: str,
        adjustment_id: str,
        reason: str,
        *,
        delta: int | None = None,
        new_total: int | None = None,
        expected_total: int | None = None,
        reference: str = "",
    ) -> AdjustStockResponse:
        """Change how many units of an item are on sale: by `delta`, or to `new_total`.

        Choose one `adjustment_id` for each change and keep it, as with a reservation: a repeat changes nothing more.
        """
        return self._wait(
            self._client.adjust_stock(
                sale_id,
                sku,
                adjustment_id,
                reason,
                delta=delta,
                new_total=new_total,
                expected_total=expected_total,
                reference=reference,
            )
        )

    def block_buyer(self, buyer_id: str, reason: str) -> BlockBuyerResponse:
        """Reject what this buyer asks for from now on; the ledger refuses what is under way."""
        return self._wait(self._client.block_buyer(buyer_id, reason))

    def unblock_buyer(self, buyer_id: str) -> UnblockBuyerResponse:
        """Take a block back; orders that were refused meanwhile stay refused."""
        return self._wait(self._client.unblock_buyer(buyer_id))

    def audit_sale(self, sale_id: str) -> AuditSaleResponse:
        """Compare Redis with the ledger while both go on working; what differs comes back, and raises nothing.

        It waits for `RetryPolicy.audit_s`, as long as a server may take.
        """
        return self._wait(self._client.audit_sale(sale_id))

    def replay_dead_letter(self, dead_letter_id: str, reservation_id: str) -> ReplayDeadLetterResponse:
        """Reserve anew, as `reservation_id`, what a refused order had; the outcome is as of `reserve`.

        Choose a new `reservation_id` and keep it: the same id finishes what an error interrupted, and is spent by a
        rejection.
        """
        return self._wait(self._client.replay_dead_letter(dead_letter_id, reservation_id))

    def revoke_tokens(
        self, reason: str, *, jti: str | None = None, subject: str | None = None, issued_before: datetime | None = None
    ) -> RevokeTokensResponse:
        """Make the token with this `jti` invalid, or all tokens of a `subject`; calls and streams end within a second.

        `issued_before`: those of the subject that were issued before this moment, now if not given; a time without a
        zone is local. Safe to repeat; `recorded` is False while the ledger is away, and the servers record it later.
        """
        return self._wait(self._client.revoke_tokens(reason, jti=jti, subject=subject, issued_before=issued_before))
