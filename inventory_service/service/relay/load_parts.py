"""Writes what a load brings in numbered parts, of which none is left out."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeVar

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import LoadTarget, RecordOfSale
from inventory_service.domain.shard_load import LoadedAdjustment, LoadedBuyer, LoadedRecord, SalePart
from inventory_service.domain.shards import BegunTakeover

Value = TypeVar("Value")


class TakeoverGone(Exception):
    """Another take-over began, or Redis is another one."""


class LoadParts:
    """The parts of one load, of about `size` values each; `size` may change meanwhile."""

    def __init__(self, takeover: BegunTakeover, target: LoadTarget, size: int) -> None:
        self.size = size
        self.written = 0
        self.released: dict[SaleKey, int] = {}  # sales whose holds were released -> when
        self._takeover = takeover
        self._target = target

    async def write_sales(self, sales: Iterable[SalePart]) -> None:
        """Write settings and items; a sale that has more than a part holds is a part by itself."""
        part: list[SalePart] = []
        for sale in sales:
            if part and sum(each.size for each in part) + sale.size > self.size:
                await self._write(part)
                part = []
            part.append(sale)
        if part:
            await self._write(part)

    async def write_records(self, records: Sequence[RecordOfSale]) -> None:
        for some in self._cut(records):
            by_sale: dict[SaleKey, list[LoadedRecord]] = values_by_sale(some)
            await self._write(
                [SalePart(sale, records=its, release_ms=self.released.get(sale, 0)) for sale, its in by_sale.items()]
            )

    async def write_buyers(self, buyers: Sequence[tuple[SaleKey, LoadedBuyer]]) -> None:
        for some in self._cut(buyers):
            by_sale: dict[SaleKey, list[LoadedBuyer]] = values_by_sale(some)
            await self._write([SalePart(sale, buyers=its) for sale, its in by_sale.items()])

    async def write_adjustments(self, adjustments: Sequence[tuple[SaleKey, LoadedAdjustment]]) -> None:
        for some in self._cut(adjustments):
            by_sale: dict[SaleKey, list[LoadedAdjustment]] = values_by_sale(some)
            await self._write([SalePart(sale, adjustments=its) for sale, its in by_sale.items()])

    async def _write(self, part: Sequence[SalePart]) -> None:
        if not await self._target.write_part(self._takeover, self.written + 1, part):
            raise TakeoverGone
        self.written += 1

    def _cut(self, values: Sequence[Value]) -> Iterable[Sequence[Value]]:
        first = 0
        while first < len(values):
            yield (some := values[first : first + self.size])
            first += len(some)


def values_by_sale(pairs: Iterable[tuple[SaleKey, Value]]) -> defaultdict[SaleKey, list[Value]]:
    """The values of each sale, in their order."""
    found: defaultdict[SaleKey, list[Value]] = defaultdict(list)
    for sale, value in pairs:
        found[sale].append(value)
    return found
