"""Simulated buyers: they reserve concurrently, retry unanswered calls, and record the last state of each claim."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from holdfast.client import Client
from holdfast.errors import WrongReservationState
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import (
    REJECTION_REASON_BUYER_BLOCKED,
    RejectionReason,
    Reservation,
    ReservationState,
)
from holdfast.retry import RetryPolicy

from tests.ledger_rows import refuse_orders_of

SKU = "lamp"
BUYERS, BLOCKED = 30, 2
BLOCKED_CLAIMS = 10  # their units come back, so they would never run out of stock
# Longer than any crash: each call is retried with the same id until it is answered.
CRASH_RETRY = RetryPolicy(overall_s=90.0, attempt_s=2.0, longest_delay_s=0.5, repeats_per_s=1000)
CONFIRMS, RELEASES, REPEATS = 0.6, 0.2, 0.1  # shares of the holds; those neither confirmed nor released expire
PACE_S = (0.03, 0.2)  # between a buyer's steps: two cores carry the crowds of several tests at once
REJECTIONS = 3  # a buyer stops after so many, because units may come back after the first
AFTER_REJECTION_S = (0.1, 0.4)
SHORT = (RejectionReason.REJECTION_REASON_SOLD_OUT, RejectionReason.REJECTION_REASON_INSUFFICIENT_STOCK)


@dataclass
class Acknowledged:
    """One claim, with the last state that a response showed."""

    reservation_id: str
    units: int
    blocked: bool
    state: int


class Crowd:
    """Buyers of one sale, the same again for the same seed; the ledger at `dsn` refuses `blocked` of them.

    Their shards do not know until an epoch begins, so that there are orders to be refused.
    """

    def __init__(
        self, client: Client, dsn: str, sale_id: str, *, buyers: int = BUYERS, blocked: int = BLOCKED, seed: int = 1
    ) -> None:
        self.sale_id = sale_id
        self._dsn = dsn
        self.acknowledged: dict[str, Acknowledged] = {}
        self.reserve_times_s: list[float] = []  # how long each Reserve took, repeats included, in the order of answers
        self._client = client
        self._blocked = [f"blocked-{number}" for number in range(blocked)]
        self._free = [f"buyer-{number}" for number in range(buyers - blocked)]
        self._seed = seed
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def buying(self) -> AsyncIterator[None]:
        """Buyers reserve inside the block; returns when each has stopped, after rejections or `stop_buying`."""
        await refuse_orders_of(self._dsn, *self._blocked)
        async with asyncio.TaskGroup() as buyers:
            for buyer in self._blocked + self._free:
                buyers.create_task(self._buy_repeatedly(buyer, random.Random(f"{self._seed} {buyer}")))
            yield

    def stop_buying(self) -> None:
        """No buyer begins another claim after this."""
        self._closing.set()

    def has_acknowledged(self, acknowledged: int) -> bool:
        """So many claims were acknowledged."""
        return len(self.acknowledged) >= acknowledged

    async def _buy_repeatedly(self, buyer: str, rng: random.Random) -> None:
        rejections = 0
        for number in range(BLOCKED_CLAIMS) if buyer in self._blocked else itertools.count():
            if self._closing.is_set() or rejections == REJECTIONS:
                return
            if await self._buy(buyer, f"{buyer}-{number}", rng):
                await asyncio.sleep(rng.uniform(*PACE_S))
            else:
                rejections += 1
                await asyncio.sleep(rng.uniform(*AFTER_REJECTION_S))

    async def _buy(self, buyer: str, reservation_id: str, rng: random.Random) -> bool:
        """Claim some units, then confirm, release or leave them; False if there are too few."""
        units = rng.randint(1, 3)
        answer = await self._reserve(buyer, reservation_id, units)
        if answer.HasField("reservation"):
            await self._end(self._remember(answer.reservation), rng)
            if rng.random() < REPEATS:
                await self._repeat(buyer, reservation_id, units)
        elif answer.rejection.HasField("ended"):  # held by a call whose answer was lost, and over since
            self._remember(answer.rejection.ended)
        else:
            is_blocked = buyer in self._blocked and answer.rejection.reason == REJECTION_REASON_BUYER_BLOCKED
            assert is_blocked or answer.rejection.reason in SHORT, RejectionReason.Name(answer.rejection.reason)
            return False
        return True

    async def _reserve(self, buyer: str, reservation_id: str, units: int) -> ReserveResponse:
        started = time.monotonic()
        answer = await self._client.reserve(self.sale_id, reservation_id, buyer, {SKU: units})
        self.reserve_times_s.append(time.monotonic() - started)
        return answer

    async def _end(self, claim: Acknowledged, rng: random.Random) -> None:
        """Confirm it, release it, or let it expire."""
        await asyncio.sleep(rng.uniform(*PACE_S))
        draw = rng.random()
        try:
            if draw < CONFIRMS:
                claim.state = (await self._client.confirm(self.sale_id, claim.reservation_id)).reservation.state
            elif draw < CONFIRMS + RELEASES:
                claim.state = (await self._client.release(self.sale_id, claim.reservation_id)).reservation.state
        except WrongReservationState as ended:  # it expired or was compensated meanwhile
            if ended.reservation is None:
                raise
            claim.state = ended.reservation.state

    async def _repeat(self, buyer: str, reservation_id: str, units: int) -> None:
        """Repeat a granted Reserve: no second unit may be taken."""
        again = await self._reserve(buyer, reservation_id, units)
        reservation = again.reservation if again.HasField("reservation") else again.rejection.ended
        assert again.replayed, f"{reservation_id} was granted, and its repeat was judged anew: {again}"
        assert reservation.reservation_id == reservation_id, again

    def _remember(self, reservation: Reservation) -> Acknowledged:
        claim = Acknowledged(
            reservation.reservation_id,
            sum(line.quantity for line in reservation.lines),
            reservation.buyer_id in self._blocked,
            reservation.state,
        )
        self.acknowledged[reservation.reservation_id] = claim
        return claim


def state_name(state: int) -> str:
    """A state as the ledger spells it."""
    return ReservationState.Name(state).removeprefix("RESERVATION_STATE_")
