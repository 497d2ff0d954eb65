"""Runs a shape against a server: makes its sales, puts the loads on them, and counts what was held in the end."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from holdfast.access import Tls
from holdfast.client import Client
from holdfast.errors import HoldfastError
from holdfast.inventory.v1.sale_pb2 import Sale

from holdfast_bench import ghz
from holdfast_bench.load import Claim, Load, LoadFailed, Report
from holdfast_bench.results import merged, summary
from holdfast_bench.shapes import CONNECTIONS, Shape, Stretch

HOLD_TTL = timedelta(hours=12)  # no hold expires within a run, which takes two hours at most
AT_ONCE = 16  # calls that make, read or close sales
MOST_CLAIMS = 1000  # that the calls of one load ask for in turn

Progress = Callable[[str], None]


class WrongAnswers(RuntimeError):
    """The sales do not have what was answered, or more than they may; the message says how."""


@dataclass(frozen=True)
class Target:
    """A server, and how ghz gets to it."""

    address: str
    token: str = ""
    tls: Tls | None = None
    use_proxy: bool = False


@dataclass(frozen=True)
class Stock:
    """What the sales of a run have."""

    units: int  # on sale
    taken: int  # held or sold

    @classmethod
    def of(cls, sales: Sequence[Sale]) -> "Stock":
        """The sum over all items; WrongAnswers if one is oversold."""
        items = [item for sale in sales for item in sale.items]
        if over := [item for item in items if item.available < 0 or item.held + item.sold > item.total]:
            raise WrongAnswers(f"oversold: {over[0]}")
        return cls(sum(item.total for item in items), sum(item.held + item.sold for item in items))


class Run:
    """One run of a shape on sales of its own, or on one that is there."""

    def __init__(self, client: Client, target: Target, shape: Shape, sale_id: str = "") -> None:
        self._client = client
        self._target = target
        self._shape = shape
        self._is_own = not sale_id
        self.name = f"bench-{uuid.uuid4().hex[:8]}"
        self.sale_ids = [sale_id] if sale_id else [f"{self.name}-{number}" for number in range(shape.sales.count)]

    async def prepare(self) -> None:
        """Make the sales, unless one was given."""
        if self._is_own:
            await self._each(self._make_sale)

    async def put_load(self, progress: Progress) -> dict[str, Any]:
        """Put the load on the server: the figures; LoadFailed if it was another load, WrongAnswers if units are."""
        before, claims = await self._sales(), []
        for sale in before:
            claims += list(_claims(self._shape, sale, max(1, MOST_CLAIMS // len(before))))
        stretches = [self._load(number, stretch, claims) for number, stretch in enumerate(self._shape.stretches)]
        reports = await _together(stretches, beside=self._show(progress))
        figures = summary(merged(reports))
        taken = Stock.of(await self._sales()).taken - Stock.of(before).taken
        return {**figures, "units": self._counted(figures, Stock.of(before), taken)}

    async def close(self) -> None:
        """Close the sales that were made and give back what is held; one that cannot be closed stays."""
        if self._is_own:
            await self._each(self._close_sale)

    async def audit(self) -> None:
        """Compare each sale in Redis with the ledger; WrongAnswers if they differ."""
        for sale_id in self.sale_ids:
            audit = await self._client.audit_sale(sale_id)
            if not audit.consistent:
                raise WrongAnswers(f"the audit of {sale_id} found differences: {list(audit.differences)[:5]}")

    async def _load(self, number: int, stretch: Stretch, claims: Sequence[Claim]) -> Report:
        target = self._target
        callers = stretch.callers or CONNECTIONS
        connections = min(CONNECTIONS, callers)
        load = Load(
            target.address,
            claims[0].sale_id,
            f"{self.name}-{number}",
            stretch.seconds,
            connections,
            max(1, round(callers / connections)),
            token=target.token,
            rate=stretch.rate or None,
            to_rate=stretch.to_rate or None,
            claims=claims,
            tls=target.tls,
            use_proxy=target.use_proxy,
        )
        await asyncio.sleep(stretch.after_s)
        return await ghz.run_beside(load)

    def _counted(self, figures: dict[str, Any], before: Stock, taken: int) -> dict[str, int]:
        """Units, and calls by their answers; WrongAnswers if the units do not say the same as the answers.

        In a sale that is not this run's there are other buyers, and its units do not say what these calls got.
        """
        if not self._is_own:
            return {"on_sale": before.units, "taken": taken}
        each = self._shape.request.lines * self._shape.request.quantity
        calls = figures["calls"]
        held, enough = taken // each, before.units >= calls * each
        if taken % each or held > calls or (enough and held < calls):
            raise WrongAnswers(f"{calls} calls were answered, of {each} units each; {taken} are held")
        return {"on_sale": before.units, "taken": taken, "calls_accepted": held, "calls_rejected": calls - held}

    async def _show(self, progress: Progress) -> None:
        for second in range(int(self._shape.seconds) + 1):
            progress(f"{self._shape.title}: {second} of {self._shape.seconds:g} s")
            await asyncio.sleep(1)

    async def _make_sale(self, sale_id: str) -> None:
        sales = self._shape.sales
        items = {f"item-{number}": sales.units for number in range(sales.items)}
        await self._client.create_sale(sale_id, items, title="bench", hold_ttl=HOLD_TTL, max_hold_ttl=HOLD_TTL)

    async def _close_sale(self, sale_id: str) -> None:
        with suppress(HoldfastError):  # a run that failed may have made fewer, and its own error says more
            await self._client.close_sale(sale_id, release_holds=True, reason="bench")

    async def _sales(self) -> list[Sale]:
        return [response.sale for response in await self._each(self._client.get_sale)]

    async def _each(self, call: Callable[[str], Any]) -> list[Any]:
        """Make a call for each sale, some at a time: the responses, in their order."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(sale_id: str) -> Any:
            async with gate:
                return await call(sale_id)

        return await asyncio.gather(*map(one, self.sale_ids))


async def _together(loads: Iterable[Coroutine[Any, Any, Report]], beside: Coroutine[Any, Any, None]) -> list[Report]:
    """The reports of all loads; once one has failed the others are ended. `beside` runs until then."""
    tasks, helper = [asyncio.create_task(load) for load in loads], asyncio.create_task(beside)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in (*tasks, helper):
            task.cancel()
        await asyncio.gather(*tasks, helper, return_exceptions=True)


def _claims(shape: Shape, sale: Sale, most: int) -> Iterator[Claim]:
    """What calls ask of one sale: as many of its items as a call has lines, and the next ones in the next claim."""
    skus, lines = [item.sku for item in sale.items], shape.request.lines
    if len(skus) < lines:
        raise LoadFailed(f"sale {sale.sale_id} has {len(skus)} items, and a call asks for {lines}")
    for first in range(min(len(skus), most)):
        chosen = [skus[(first * lines + number) % len(skus)] for number in range(lines)]
        yield Claim(sale.sale_id, dict.fromkeys(chosen, shape.request.quantity))
