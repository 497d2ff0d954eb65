"""One buyer of the demo: asks for units until the shelf is empty for good, and does with each hold what buyers do."""

import asyncio
import contextlib
import random
from dataclasses import dataclass

from holdfast.client import Client
from holdfast.errors import HoldfastError, WrongReservationState
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Rejection, RejectionReason, Reservation

from holdfast_embedded.demo.tally import Claim, Tally

SKU = "lamp"
ARRIVAL_S = 1.0  # everybody is there within the first second
THINK_S = (0.5, 2.5)  # before the next wish
CHECKOUT_S = (0.1, 0.8)  # between a hold and what becomes of it
WAIT_S = (0.5, 1.0)  # for units that others hold and may give back

LOSES_REPLY, REPEATS = 0.03, 0.08  # shares of the reserves
CONFIRMS, RELEASES = 0.82, 0.09  # shares of the holds; the rest is left to expire

SHORT = (RejectionReason.REJECTION_REASON_SOLD_OUT, RejectionReason.REJECTION_REASON_INSUFFICIENT_STOCK)


@dataclass
class Shopper:
    """A buyer with a will of its own, the same again for the same seed."""

    client: Client
    tally: Tally
    sale_id: str
    buyer_id: str
    blocked: bool
    dice: random.Random

    async def shop(self) -> None:
        """Buy until nothing is left and nothing can come back. A blocked buyer comes once, early and unsuspecting."""
        try:
            await self._pause(0.0, ARRIVAL_S)
            wish = 0
            while await self._buy(wish) and not self.blocked:
                wish += 1
                await self._pause(*THINK_S)
        except HoldfastError as error:
            self.tally.complaints.append(f"{self.buyer_id} was left without an answer: {error.reason} {error}")

    async def _buy(self, wish: int) -> bool:
        """Have one wish fulfilled, or learn that it never will be: False."""
        units, waited = self.dice.randint(1, 3), False
        reservation_id = f"{self.buyer_id}-{wish}"
        while True:
            answer = await self._reserve(reservation_id, units)
            if answer.HasField("reservation"):
                await self._settle(self._note(answer.reservation), self._mood(waited))
                return True
            if answer.rejection.HasField("ended"):  # the call whose reply was lost had made a hold, and it is over
                self._note(answer.rejection.ended)
                return True
            if not self._may_come_back(answer.rejection):
                return False
            units = min(units, answer.rejection.shortages[0].available) or units
            waited = True
            await self._pause(*WAIT_S)

    async def _reserve(self, reservation_id: str, units: int) -> ReserveResponse:
        """Ask, sometimes losing the reply on the way, sometimes twice."""
        if self.dice.random() < LOSES_REPLY:
            await self._lose_reply(reservation_id, units)
        answer = await self._ask(reservation_id, units)
        if answer.HasField("reservation") and self.dice.random() < REPEATS:
            await self._repeat(answer.reservation, units)
        return answer

    async def _ask(self, reservation_id: str, units: int) -> ReserveResponse:
        self.tally.counts["asked"] += 1
        with self.tally.timed():
            answer = await self.client.reserve(self.sale_id, reservation_id, self.buyer_id, {SKU: units})
        self.tally.counts["replayed"] += answer.replayed
        self.tally.counts["sold out"] += answer.rejection.reason in SHORT
        return answer

    async def _lose_reply(self, reservation_id: str, units: int) -> None:
        """Ask and hang up at once: the server may or may not have done it by then."""
        call = asyncio.create_task(self.client.reserve(self.sale_id, reservation_id, self.buyer_id, {SKU: units}))
        await self._pause(0.0, 0.01)
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        self.tally.counts["lost replies"] += 1

    async def _repeat(self, first: Reservation, units: int) -> None:
        """Ask again under the same id: the same reservation must be heard, and nothing taken twice."""
        again = await self._ask(first.reservation_id, units)
        heard = again.reservation if again.HasField("reservation") else again.rejection.ended
        same = (heard.reservation_id, heard.create_time, list(heard.lines)) == (
            first.reservation_id,
            first.create_time,
            list(first.lines),
        )
        if not (again.replayed and same):
            self.tally.complaints.append(f"{first.reservation_id} was asked twice and heard two things")

    def _note(self, reservation: Reservation) -> Claim:
        """Keep what was promised, to hold the books against it afterwards."""
        claim = Claim(
            reservation.reservation_id,
            self.buyer_id,
            sum(line.quantity for line in reservation.lines),
            self.blocked,
            reservation.state,
        )
        self.tally.claims[claim.reservation_id] = claim
        return claim

    def _mood(self, waited: bool) -> float:
        """What to do with a hold, from 0 (pay) to 1 (forget about it); who had to wait for it pays."""
        return 0.0 if waited else self.dice.random()

    async def _settle(self, claim: Claim, mood: float) -> None:
        """Pay, give back, or forget about it."""
        await self._pause(*CHECKOUT_S)
        try:
            if mood < CONFIRMS:
                with self.tally.timed():
                    claim.state = (await self.client.confirm(self.sale_id, claim.reservation_id)).reservation.state
            elif mood < CONFIRMS + RELEASES:
                with self.tally.timed():
                    claim.state = (await self.client.release(self.sale_id, claim.reservation_id)).reservation.state
            else:
                self.tally.counts["forgotten"] += 1
        except WrongReservationState as late:  # it expired or was compensated first: an answer too
            claim.state = late.reservation.state if late.reservation else claim.state

    def _may_come_back(self, rejection: Rejection) -> bool:
        """Whether units are there or held by others; a sale that is open and without limits turns nobody else away."""
        if rejection.reason not in SHORT:
            self.tally.complaints.append(f"{self.buyer_id} was turned away: {RejectionReason.Name(rejection.reason)}")
            return False
        return any(short.available or short.held for short in rejection.shortages)

    async def _pause(self, shortest_s: float, longest_s: float) -> None:
        await asyncio.sleep(self.dice.uniform(shortest_s, longest_s))
