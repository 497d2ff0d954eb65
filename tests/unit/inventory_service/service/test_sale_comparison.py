"""What a comparison reads again while the sale goes on, and what ends it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inventory_service.domain.buyer_reconciliation import BuyersPage, LedgerBuyer
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reconciliation import SalePage
from inventory_service.domain.sale_reconciliation import SaleRow, TakenUnits
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import CommitId, LedgerRow
from inventory_service.service.sale_comparison import BUYER_ROUNDS, CannotCompare, SaleComparison

SALE = SaleKey("default", "lamp-sale")
SETTINGS = StoredSettings(1, -1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 1, 1, "Lamps", "body", "")


class Redis:
    """A sale without items, whose head rises with each reading."""

    def __init__(self, heads: Sequence[int], buyers: int = 0, made_at: int = 0) -> None:
        self._heads = list(heads)
        self._made_at = made_at
        self._units = {f"buyer-{number}": TakenUnits(1, 0) for number in range(buyers)}
        self.read: list[str] = []

    async def page(self, shard: int, sale: SaleKey, cursor: int, size: int) -> SalePage:
        head = CommitId(1, self._next("page"))
        settings = SETTINGS if head.seq >= self._made_at else None
        return SalePage(False, head, "h", 0, (), (), settings, "", CommitId(0, 0))

    async def buyers(self, shard: int, sale: SaleKey, cursor: int, size: int) -> BuyersPage:
        return BuyersPage(CommitId(1, self._next("buyers")), "h", 0, "", self._units)

    async def some_buyers(self, shard: int, sale: SaleKey, names: Sequence[str]) -> BuyersPage:
        return BuyersPage(CommitId(1, self._next("some")), "h", 0, "", {name: self._units[name] for name in names})

    def _next(self, what: str) -> int:
        self.read.append(what)
        return self._heads.pop(0) if len(self._heads) > 1 else self._heads[0]


class Ledger:
    """Has every commit, and its sale with one etag; the orders of each buyer have just changed."""

    def __init__(self, etag: int = 4, at: int = 1000, frozen_reason: str = "") -> None:
        self._etag = etag
        self.row = LedgerRow(0, 1, 1, at, "h", 1, at, frozen_reason)

    @asynccontextmanager
    async def snapshot(self, shard: int, sale: SaleKey) -> AsyncIterator["Ledger"]:
        yield self

    async def has_commit(self, commit: CommitId, hash: str) -> bool:
        return True

    async def sale(self) -> SaleRow:
        return SaleRow(SETTINGS._replace(seq=self._etag, title="Sofas" if self._etag > 4 else "Lamps"), has_left=False)

    async def settings_at(self, place: Position, row: SaleRow) -> StoredSettings | None:
        return SETTINGS if place == Position(0, 1, 4, 0) else None

    async def items_at(self, commit: CommitId) -> list[Any]:
        return []

    async def refused_units(self, commit: CommitId) -> dict[str, Any]:
        return {}

    async def item_sums(self) -> list[Any]:
        return []

    async def odd_lines(self, limit: int, has_left: bool) -> list[Any]:
        return []

    async def orders(self, ids: Sequence[str]) -> dict[str, Any]:
        return {}

    async def expected(self, *_: Any) -> list[str]:
        return []

    async def buyers(self, buyer_ids: Sequence[str], after: CommitId) -> dict[str, LedgerBuyer]:
        return {buyer: LedgerBuyer({}, set(), has_changed=True) for buyer in buyer_ids}

    async def owners(self, *_: Any) -> tuple[None, list[str]]:
        return None, []


def comparison(redis: Any, ledger: Any) -> SaleComparison:
    return SaleComparison(redis, ledger, SALE, 0)


async def test_settings_that_are_newer_in_the_ledger_are_compared_as_they_were() -> None:
    """So an audit ends, however often they change."""
    redis = Redis(heads=[10])

    audit = await comparison(redis, Ledger(etag=15)).run()

    assert (redis.read, audit.as_of.seq, audit.differences) == (["page", "buyers"], 10, ())


async def test_an_etag_above_the_watermark_is_a_difference() -> None:
    """It cannot be a change that is under way."""
    audit = await comparison(Redis(heads=[10]), Ledger(etag=1001)).run()

    assert audit.differences == (("sale etag", "1-4-0", "1-1001-0"), ("sale title", "Lamps", "Sofas"))


async def test_a_sale_that_was_made_since_is_read_again() -> None:
    """Redis had it before the ledger."""
    redis = Redis(heads=[10, 20], made_at=15)

    audit = await comparison(redis, Ledger(etag=15)).run()

    assert (redis.read, audit.as_of.seq) == (["page", "page", "buyers"], 20)


async def test_a_buyer_whose_orders_change_all_the_time_ends_no_audit() -> None:
    """One who buys for many would have every audit of a busy sale last until its deadline."""
    redis = Redis(heads=[10], buyers=3)

    audit = await comparison(redis, Ledger()).run()

    assert (redis.read.count("some"), audit.differences) == (BUYER_ROUNDS, ())


async def test_another_redis_that_has_less_is_not_compared() -> None:
    """An older copy would lack what the first one had."""
    with pytest.raises(CannotCompare):
        await comparison(Redis(heads=[10, 9]), Ledger()).run()


async def test_a_row_that_is_frozen_below_what_redis_had_ends_the_comparison() -> None:
    """It never gets there, and the reason says what opens the shard."""
    with pytest.raises(CannotCompare) as ended:
        await comparison(Redis(heads=[10]), Ledger(at=9, frozen_reason="a test")).run()

    assert ended.value.failure.metadata == {"frozen_reason": "a test"}
