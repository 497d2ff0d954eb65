"""The calls of a buyer: reserve, confirm, release, change, and look."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta

import grpc

from holdfast.bulk.coalescing import Coalescing
from holdfast.caller import Caller
from holdfast.connections import Stubs
from holdfast.errors import Details, HoldfastError, NoAnswer
from holdfast.inventory.v1.inventory_service_pb2 import (
    ChangeReservationRequest,
    ChangeReservationResponse,
    ConfirmReservationRequest,
    ConfirmReservationResponse,
    ExtendReservationRequest,
    ExtendReservationResponse,
    GetReservationRequest,
    GetReservationResponse,
    GetSaleRequest,
    GetSaleResponse,
    PartialConfirm,
    ReleaseReservationRequest,
    ReleaseReservationResponse,
    ReserveRequest,
    ReserveResponse,
    ReturnReservationRequest,
    ReturnReservationResponse,
)
from holdfast.requests import lines_of, reserve_request
from holdfast.retry import Attempts
from holdfast.statuses import ids_of


class ReservationCalls(Caller):
    """Each method is one call. `lines` are SKU to units; an `expected_revision` that is not found is `Outdated`."""

    _coalescing: Coalescing | None = None

    async def reserve(
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
        request = reserve_request(sale_id, reservation_id, buyer_id, lines, hold_ttl=hold_ttl, reference=reference)
        if self._coalescing:
            return await self._reserve_with_others(request, self._coalescing)
        # It asks Redis, and the ledger only about a sale that has left Redis: another server is asked the sooner.
        return await self._ask(lambda stubs: stubs.buyers.Reserve, request, attempt_s=self._retry.attempt_s)

    async def _reserve_with_others(self, request: ReserveRequest, coalescing: Coalescing) -> ReserveResponse:
        """Send the request with others or, where that does not answer it, alone."""
        connections = self._pool.connections()
        attempts = Attempts(self._retry, self._budget)
        turn: int | None = None
        refused: HoldfastError | None
        metadata, timeout_s = self._metadata_of(request), attempts.begin()
        try:
            answer, turn = await coalescing.of(connections).ask(request, timeout_s, connections, metadata)
        except TimeoutError:
            if self._pool.is_closed:
                raise self._ended(request, attempts) from None
            refused = NoAnswer(grpc.StatusCode.DEADLINE_EXCEEDED, "No answer came.", Details(ids=ids_of(request)))
        else:
            if isinstance(answer, ReserveResponse):
                return answer
            if self._pool.is_closed:
                raise self._ended(request, attempts)
            refused = answer
        alone = self._alone(request, attempts, connections.in_turn(turn), refused)
        return await self._within_patience(alone, connections, attempts, request)

    async def _alone(
        self, request: ReserveRequest, attempts: Attempts, servers: Iterator[Stubs], refused: HoldfastError | None
    ) -> ReserveResponse:
        """Send a request that a batch has refused, or has not sent."""
        if refused:
            await asyncio.sleep(attempts.delay_after(refused))
        return await self._until_answered(lambda stubs: stubs.buyers.Reserve, request, attempts, servers)

    async def confirm(
        self,
        sale_id: str,
        reservation_id: str,
        *,
        lines: Mapping[str, int] | None = None,
        expected_revision: int | None = None,
    ) -> ConfirmReservationResponse:
        """Sell what is held or, with `lines`, these units alone, and give the rest back."""
        request = ConfirmReservationRequest(
            sale_id=sale_id,
            reservation_id=reservation_id,
            partial=None if lines is None else PartialConfirm(lines=lines_of(lines)),
            expected_revision=expected_revision,
        )
        return await self._ask(lambda stubs: stubs.buyers.ConfirmReservation, request)

    async def release(
        self,
        sale_id: str,
        reservation_id: str,
        *,
        reason: str = "",
        spend_id: bool = False,
        expected_revision: int | None = None,
    ) -> ReleaseReservationResponse:
        """Give back what is held; with `spend_id` also end an id whose Reserve got no answer."""
        request = ReleaseReservationRequest(
            sale_id=sale_id,
            reservation_id=reservation_id,
            reason=reason,
            spend_id=spend_id,
            expected_revision=expected_revision,
        )
        return await self._ask(lambda stubs: stubs.buyers.ReleaseReservation, request)

    async def extend(
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
        if (hold_ttl is None) == (by is None):
            raise TypeError("extend takes either hold_ttl or by")
        begun_s = time.monotonic()
        request = ExtendReservationRequest(
            sale_id=sale_id,
            reservation_id=reservation_id,
            hold_ttl=hold_ttl if by is None else await self._age(sale_id, reservation_id) + by,
            expected_revision=expected_revision,
        )
        left_s = self._retry.overall_s - (time.monotonic() - begun_s)
        return await self.with_options(timeout_s=left_s)._ask(lambda stubs: stubs.buyers.ExtendReservation, request)

    async def _age(self, sale_id: str, reservation_id: str) -> timedelta:
        """How long ago a reservation was made, by the shard's clock."""
        found = await self.get_reservation(sale_id, reservation_id)
        return found.read_time.ToDatetime() - found.reservation.create_time.ToDatetime()

    async def change(
        self, sale_id: str, reservation_id: str, lines: Mapping[str, int], *, expected_revision: int | None = None
    ) -> ChangeReservationResponse:
        """Hold these lines instead, all or none; returns the reservation, or the rejection that left it as it was.

        SKUs that are not named are given back.
        """
        request = ChangeReservationRequest(
            sale_id=sale_id, reservation_id=reservation_id, lines=lines_of(lines), expected_revision=expected_revision
        )
        return await self._ask(lambda stubs: stubs.buyers.ChangeReservation, request)

    async def return_(
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
        if lines is not None and not lines:
            raise ValueError("lines that are empty name nothing; leave them out to return everything")
        request = ReturnReservationRequest(
            sale_id=sale_id,
            reservation_id=reservation_id,
            reason=reason,
            lines=lines_of(lines or {}),
            discard=discard,
            expected_revision=expected_revision,
        )
        return await self._ask(lambda stubs: stubs.buyers.ReturnReservation, request)

    async def get_reservation(self, sale_id: str, reservation_id: str) -> GetReservationResponse:
        """Read a reservation."""
        request = GetReservationRequest(sale_id=sale_id, reservation_id=reservation_id)
        return await self._read(lambda stubs: stubs.buyers.GetReservation, request)

    async def get_sale(self, sale_id: str) -> GetSaleResponse:
        """Read a sale and its stock."""
        return await self._read(lambda stubs: stubs.buyers.GetSale, GetSaleRequest(sale_id=sale_id))
