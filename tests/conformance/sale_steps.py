"""Draws calls on sales: what operators do to them, and reads of one."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from tests.conformance.answers import Answers

SKUS = ("lamp", "bulb", "sofa")  # of which no sale has the last
Build = Callable[[Answers], Message]


class Step(NamedTuple):
    """One call."""

    method: str
    build: Build


def as_it_is(request: Message) -> Build:
    """A request that is the same for both servers."""
    return lambda told: request


class SaleSteps:
    """Some sales, and calls that change them."""

    def __init__(self, seed: int, prefix: str, now: datetime) -> None:
        self._random = Random(seed)
        self._prefix = prefix
        self._now = now.replace(microsecond=0)
        self.sales = self._first_sales()

    def _first_sales(self) -> list[Sale]:
        items = [Item(sku="lamp", total=50), Item(sku="bulb", total=12, buyer_limit=4)]
        days_ago, hour_ago = self._now - timedelta(days=2), self._now - timedelta(hours=1)  # by both servers' clocks
        return [
            self._sale("holds", items=items, buyer_limit=14, max_hold_ttl=Duration(seconds=3600)),
            self._sale("buys", items=items, hold_ttl=Duration(seconds=0)),
            self._sale("tries", items=items, attempts_per_minute=4),
            self._sale("later", items=items, start_time=self._now + timedelta(days=1)),
            self._sale("over", items=items, start_time=days_ago, end_time=hour_ago),
        ]

    def _sale(self, name: str, **settings: Any) -> Sale:
        return Sale(sale_id=self._prefix + name, title=name, **settings)

    def _sale_id(self) -> str:
        """Mostly of one that is open, seldom of none."""
        ids = [sale.sale_id for sale in self.sales]
        return self._random.choices([*ids, f"{self._prefix}none"], [24, 6, 4, 1, 1, 0.5])[0]

    def _create_again(self) -> Step:
        sale = Sale()
        sale.CopyFrom(self._random.choice(self.sales))
        if self._random.random() < 0.3:
            sale.title = "another"
        return Step("CreateSale", as_it_is(admin.CreateSaleRequest(sale=sale)))

    def _update(self) -> Step:
        """One or two settings, with the etag that was told last, an old one, or none."""
        sale_id, etag = self._sale_id(), self._random.choice(("", "", "last", "0-0-0"))
        sale, paths = Sale(sale_id=sale_id), self._random.sample(("title", "buyer_limit", "end_time", "items"), 2)
        sale.title = self._random.choice(("one", "two"))
        sale.buyer_limit = self._random.choice((0, 9, 14))
        sale.items.append(Item(sku=self._random.choice(("lamp", "desk")), total=5))
        if self._random.random() < 0.5:
            sale.end_time.FromDatetime(self._now + timedelta(days=self._random.choice((1, 2))))
        if self._random.random() < 0.2:
            paths = self._random.choice((["start_time"], ["hold_ttl"], ["no such path"], []))

        def build(told: Answers) -> Message:
            sale.etag = told.etags.get(sale_id, "") if etag == "last" else etag
            return admin.UpdateSaleRequest(sale=sale, update_mask={"paths": paths})

        return Step("UpdateSale", build)

    def _pause(self) -> Step:
        return self._act("PauseSale", admin.PauseSaleRequest, self._sale_id())

    def _resume(self) -> Step:
        return self._act("ResumeSale", admin.ResumeSaleRequest, self._sale_id())

    def _close(self) -> Step:
        """Mostly of the sales that are used less."""
        releases = self._random.random() < 0.5
        sale_id = self._random.choice(self.sales[2:]).sale_id
        return self._act("CloseSale", admin.CloseSaleRequest, sale_id, release_holds=releases)

    def _act(self, method: str, kind: Any, sale_id: str, **fields: Any) -> Step:
        """With the etag that was told last, an old one, or none."""
        etag = self._random.choice(("", "", "last", "0-0-0"))

        def build(told: Answers) -> Message:
            named = told.etags.get(sale_id, "") if etag == "last" else etag
            return kind(sale_id=sale_id, reason="so", etag=named, **fields)  # type: ignore[no-any-return]

        return Step(method, build)

    def _adjust(self) -> Step:
        number, sku = self._random.randrange(6), self._random.choice(SKUS)
        change: Any = self._random.choice(({"delta": 3}, {"delta": -2}, {"new_total": 20}, {"new_total": 1}))
        expected: Any = self._random.choice(({}, {}, {"expected_total": 50}))
        request = admin.AdjustStockRequest(
            sale_id=self._sale_id(), sku=sku, adjustment_id=f"a-{number}", reason="counted", **change, **expected
        )
        return Step("AdjustStock", as_it_is(request))
