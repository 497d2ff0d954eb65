"""One simulated buyer: reserves units until the sale is sold out, and confirms, releases or abandons each hold."""

import asyncio
import contextlib
import random
from dataclasses import dataclass

from holdfast.client import Client
from holdfast.errors import HoldfastError, WrongReservationState
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Rejection, RejectionReason, Reservation

from holdfast_embedded.demo.buyer_results import Acknowledged, BuyerResults

SKU = "lamp"
ARRIVAL_S = 1.0  # every buyer starts within the first second
PURCHASE_PAUSE_S = (0.5, 2.5)  # between two purchases
CHECKOUT_S = (0.1, 0.8)  # between a hold and its confirmation or release
SOLD_OUT_PAUSE_S = (0.5, 1.0)  # before the next try while other buyers hold units that may come back

LOST_REPLY_SHARE, REPEATED_SHARE = 0.03, 0.08  # of the Reserve calls
CONFIRMED_SHARE, RELEASED_SHARE = 0.82, 0.09  # of the holds; the rest is left to expire

SHORTAGE_REASONS = (RejectionReason.REJECTION_REASON_SOLD_OUT, RejectionReason.REJECTION_REASON_INSUFFICIENT_STOCK)


@dataclass
class SimulatedBuyer:
    """A buyer whose choices are random, and the same again for the same seed."""

    client: Client
    results: BuyerResults
    sale_id: str
    buyer_id: str
    blocked: bool
    rng: random.Random

    async def run(self) -> None:
        """Buy until no unit is left and none can come back. A blocked buyer is blocked with its first hold."""
        try:
            await self._pause(0.0, ARRIVAL_S)
            number = 0
            while await self._buy(number) and not self.blocked:
                number += 1
                await self._pause(*PURCHASE_PAUSE_S)
        except HoldfastError as error:
            self.results.unexpected.append(f"{self.buyer_id} got no response: {error}")

    async def _buy(self, number: int) -> bool:
        """Reserve 1 to 3 units and finish the hold; False if the sale is sold out for good."""
        units, waited = self.rng.randint(1, 3), False
        reservation_id = f"{self.buyer_id}-{number}"
        while True:
            response = await self._reserve(reservation_id, units)
            if response.HasField("reservation"):
                await self._finish(self._acknowledge(response.reservation), waited)
                return True
            if response.rejection.HasField("ended"):  # the call with the lost reply made a hold that has ended since
                self._acknowledge(response.rejection.ended)
                return True
            if not self._may_come_back(response.rejection):
                return False
            units = min(units, response.rejection.shortages[0].available) or units
            waited = True
            await self._pause(*SOLD_OUT_PAUSE_S)

    async def _reserve(self, reservation_id: str, units: int) -> ReserveResponse:
        """Call Reserve, at times after a first call whose reply is lost, at times repeated."""
        if self.rng.random() < LOST_REPLY_SHARE:
            await self._lose_reply(reservation_id, units)
        response = await self._call_reserve(reservation_id, units)
        if response.HasField("reservation") and self.rng.random() < REPEATED_SHARE:
            await self._repeat(response.reservation, units)
        return response

    async def _call_reserve(self, reservation_id: str, units: int) -> ReserveResponse:
        self.results.counts["requested"] += 1
        with self.results.timed():
            response = await self.client.reserve(self.sale_id, reservation_id, self.buyer_id, {SKU: units})
        self.results.counts["replayed"] += response.replayed
        self.results.counts["sold out"] += response.rejection.reason in SHORTAGE_REASONS
        return response

    async def _lose_reply(self, reservation_id: str, units: int) -> None:
        """Call Reserve and cancel the call at once: the server may or may not have carried it out."""
        call = asyncio.create_task(self.client.reserve(self.sale_id, reservation_id, self.buyer_id, {SKU: units}))
        await self._pause(0.0, 0.01)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        self.results.counts["lost replies"] += 1

    async def _repeat(self, first: Reservation, units: int) -> None:
        """Repeat a call with its id: the response must have the same reservation, and no unit is taken twice."""
        response = await self._call_reserve(first.reservation_id, units)
        second = response.reservation if response.HasField("reservation") else response.rejection.ended
        if not (response.replayed and _identity(second) == _identity(first)):
            self.results.unexpected.append(f"{first.reservation_id} was reserved twice with two different responses")

    def _acknowledge(self, reservation: Reservation) -> Acknowledged:
        """Keep the response, for the comparison at the end."""
        acknowledged = Acknowledged(
            reservation.reservation_id,
            self.buyer_id,
            sum(line.quantity for line in reservation.lines),
            self.blocked,
            reservation.state,
        )
        self.results.acknowledged[acknowledged.reservation_id] = acknowledged
        return acknowledged

    async def _finish(self, hold: Acknowledged, waited: bool) -> None:
        """Confirm, release or abandon a hold; a buyer who had to wait for it always confirms."""
        choice = 0.0 if waited else self.rng.random()
        if self.blocked:
            await self.client.block_buyer(self.buyer_id, "blocked by the demo")
        await self._pause(*CHECKOUT_S)
        try:
            if choice < CONFIRMED_SHARE:
                with self.results.timed():
                    hold.state = (await self.client.confirm(self.sale_id, hold.reservation_id)).reservation.state
            elif choice < CONFIRMED_SHARE + RELEASED_SHARE:
                with self.results.timed():
                    hold.state = (await self.client.release(self.sale_id, hold.reservation_id)).reservation.state
            else:
                self.results.counts["abandoned"] += 1
        except WrongReservationState as error:  # it expired or was compensated first
            hold.state = error.reservation.state if error.reservation else hold.state

    def _may_come_back(self, rejection: Rejection) -> bool:
        """Return whether units are available or held. The sale is open and has no limits: no other reason occurs."""
        if rejection.reason not in SHORTAGE_REASONS:
            self.results.unexpected.append(f"{self.buyer_id} was rejected: {RejectionReason.Name(rejection.reason)}")
            return False
        return any(short.available or short.held for short in rejection.shortages)

    async def _pause(self, min_s: float, max_s: float) -> None:
        await asyncio.sleep(self.rng.uniform(min_s, max_s))


def _identity(reservation: Reservation) -> tuple[object, ...]:
    """Return what never changes about a reservation."""
    return reservation.reservation_id, reservation.create_time, list(reservation.lines)
