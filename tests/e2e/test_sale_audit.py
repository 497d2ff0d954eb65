"""AuditSale on a whole stack: while a sale gets every kind of change, no audit of it finds a difference."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from tests.inventory_server import call_error
from tests.stack_fixture import StackFixture
from tests.waiting import eventually

SKUS = ("lamp", "shade", "bulb")
BUYERS = [f"buyer-{number}" for number in range(300)]
REFUSED = "refused"  # by the ledger alone
AUDITS = 2
PACE_S = 0.1  # between two calls of a caller, so that the ledger keeps up on a busy machine
EXPECTED = {  # what the storm's own calls may hear
    "OK",
    *("WRONG_RESERVATION_STATE", "CONFIRMED_OTHERWISE", "MORE_THAN_HELD", "MORE_THAN_SOLD", "WRONG_SALE_STATE"),
    *("RESERVATION_NOT_FOUND", "STOCK_IN_USE", "LEDGER_BEHIND", "STORE_UNREACHABLE", "OUTCOME_UNKNOWN"),
    "LEDGER_UNREACHABLE",  # which is asked about what Redis does not know, and may be halted for seconds
}


class Storm:
    """Callers of one sale, each of which makes one random call after the other."""

    def __init__(self, stack: StackFixture, sale: str) -> None:
        self._stack = stack
        self._sale = sale
        self._random = random.Random(sale)
        self._numbers = itertools.count(1)
        self._names: list[str] = []
        self.heard: Counter[str] = Counter()

    @asynccontextmanager
    async def raging(self, callers: int = 8) -> AsyncIterator[None]:
        """The callers are at work inside the block."""
        tasks = [asyncio.create_task(self._call_again_and_again()) for _ in range(callers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ended), ended

    async def _call_again_and_again(self) -> None:
        while True:
            moves = (self._confirm, self._release, self._extend, self._change, self._give_back)
            call = self._random.choices([self._reserve, self._operate, *moves], [8, 0.1, 4, 1, 1, 3, 3])[0]
            try:
                await call()
                self.heard["OK"] += 1
            except grpc.aio.AioRpcError as error:
                self.heard[call_error(error).reason] += 1
            await asyncio.sleep(PACE_S)

    def _lines(self) -> list[Line]:
        skus = self._random.sample(SKUS, self._random.randint(1, 3))
        return [Line(sku=sku, quantity=self._random.randint(1, 3)) for sku in sorted(skus)]

    def _reserve(self) -> Awaitable[Any]:
        name, buyer = f"r-{next(self._numbers)}", self._random.choice([*BUYERS, *[REFUSED] * 60])
        self._names.append(name)
        ttl: Any = {"seconds": self._random.choice((1, 600))}
        request: Any = {"sale_id": self._sale, "reservation_id": name, "buyer_id": buyer, "lines": self._lines()}
        return self._stack.caller.stock.Reserve(calls.ReserveRequest(**request, hold_ttl=ttl))

    def _name(self) -> Any:
        """The ids of one of the reservations."""
        return {"sale_id": self._sale, "reservation_id": self._random.choice(self._names or ["r-0"])}

    def _confirm(self) -> Awaitable[Any]:
        part: Any = {"lines": self._lines()} if self._random.random() < 0.5 else None
        return self._stack.caller.stock.ConfirmReservation(
            calls.ConfirmReservationRequest(**self._name(), partial=part)
        )

    def _release(self) -> Awaitable[Any]:
        return self._stack.caller.stock.ReleaseReservation(
            calls.ReleaseReservationRequest(**self._name(), spend_id=True)
        )

    def _extend(self) -> Awaitable[Any]:
        ttl: Any = {"seconds": self._random.randint(600, 1200)}
        return self._stack.caller.stock.ExtendReservation(calls.ExtendReservationRequest(**self._name(), hold_ttl=ttl))

    def _change(self) -> Awaitable[Any]:
        request = calls.ChangeReservationRequest(**self._name(), lines=self._lines())
        return self._stack.caller.stock.ChangeReservation(request)

    def _give_back(self) -> Awaitable[Any]:
        lines = self._lines() if self._random.random() < 0.5 else []
        discard = self._random.random() < 0.3
        request = calls.ReturnReservationRequest(**self._name(), reason="a test", lines=lines, discard=discard)
        return self._stack.caller.stock.ReturnReservation(request)

    def _operate(self) -> Awaitable[Any]:
        return self._random.choice((self._adjust, self._update, self._pause))()

    def _adjust(self) -> Awaitable[Any]:
        delta = self._random.choice((-3, -2, 2, 3))
        ids: Any = {
            "sale_id": self._sale,
            "sku": self._random.choice(SKUS),
            "adjustment_id": f"a-{next(self._numbers)}",
        }
        return self._stack.caller.admin.AdjustStock(admin.AdjustStockRequest(**ids, delta=delta, reason="a test"))

    def _update(self) -> Awaitable[Any]:
        number = next(self._numbers)
        items = [Item(sku=f"more-{number}", total=number % 7)]
        sale = Sale(sale_id=self._sale, title=f"Lamps {number}", items=items)
        return self._stack.caller.admin.UpdateSale(
            admin.UpdateSaleRequest(sale=sale, update_mask={"paths": ["title", "items"]})
        )

    async def _pause(self) -> None:
        await self._stack.caller.admin.PauseSale(admin.PauseSaleRequest(sale_id=self._sale))
        await self._stack.caller.admin.ResumeSale(admin.ResumeSaleRequest(sale_id=self._sale))


async def test_a_sale_is_consistent_while_it_gets_every_kind_of_change(stack: StackFixture) -> None:
    """Orders that the ledger refuses, and a close that releases all holds, included."""
    limited = [Item(sku=sku, total=3000, buyer_limit=2000) for sku in SKUS]
    sale = "stormy-sale"
    settings: Any = {"hold_ttl": {"seconds": 600}, "max_hold_ttl": {"seconds": 1200}}
    await stack.caller.admin.CreateSale(admin.CreateSaleRequest(sale=Sale(sale_id=sale, items=limited, **settings)))
    await stack.refuse_orders_of(REFUSED)
    await stack.reserve(sale, "refused-1", buyer_id=REFUSED)
    storm = Storm(stack, sale)
    audits = []

    async with storm.raging():
        await eventually(lambda: storm.heard["OK"] > 100)
        for _ in range(AUDITS):
            audits.append(await stack.audited(sale))
        close = admin.CloseSaleRequest(sale_id=sale, reason="a test", release_holds=True)
        _, *closing = await asyncio.gather(stack.caller.admin.CloseSale(close), stack.audited(sale))
        audits += [*closing, await stack.audited(sale)]
    await stack.settled(sale)
    audits.append(await stack.audited(sale))

    assert [list(audit.differences) for audit in audits] == [[]] * (AUDITS + 3)
    assert all(audit.consistent and audit.items_compared >= len(SKUS) for audit in audits)
    assert min(audit.reservations_compared for audit in audits) > 20
    assert len({(audit.as_of.epoch, audit.as_of.seq) for audit in audits}) >= AUDITS
    assert await stack.ledger.dead_letters(sale)
    assert storm.heard.keys() <= EXPECTED, storm.heard
