"""Polls one shard for all watches of its sales: what changed is read, as far as the budget of reads allows."""

from collections import OrderedDict
from math import inf
from typing import Final

import structlog
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import READ_AT_ONCE, ShardVersions
from inventory_service.domain.watches import ReservationView, SaleView
from inventory_service.service.watches.sources import Sources
from inventory_service.service.watches.watched import Watched, is_absent

_UNKNOWN: Final = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)
log = structlog.get_logger()


class SaleWatches:
    """A sale that is watched by itself, or for some of its reservations."""

    def __init__(self, key: SaleKey, sources: Sources) -> None:
        self.key = key
        self.sale: Watched[SaleView] | None = None
        self.reservations: dict[str, Watched[ReservationView]] = {}
        self._sources = sources
        self._sale_is_stale = False
        self._stale: OrderedDict[str, Watched[ReservationView]] = OrderedDict()  # wait to be read, in this order
        self._had_turn = False  # the sale: next are reservations, also if the sale has changed again by then
        self._seen: tuple[object, ...] | None = None  # while it is the same, no reservation need be looked at ..
        self._first_end_ms: float = inf  # .. before this moment

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it is watched."""
        return self.sale is None and not self.reservations

    @property
    def is_stale(self) -> bool:
        """Whether something of it waits to be read."""
        return self._sale_is_stale or bool(self._stale)

    def look_again(self) -> None:
        """Look at each reservation at the next poll: one has a new watch, or could not be read."""
        self._seen = None

    def drop(self, reservation_id: str) -> None:
        """Forget a reservation, or the sale for '', which has no watch any more."""
        if not reservation_id:
            self.sale, self._sale_is_stale = None, False
        self.reservations.pop(reservation_id, None)
        self._stale.pop(reservation_id, None)

    def polled(self, poll: int, shard: ShardVersions, version: CommitId | None) -> None:
        """The shard was read, and by which commit the sale changed last."""
        self._poll, self._shard, self._version = poll, shard, version
        if self.sale is not None and not self.sale.is_asking_archive:
            self._sale_is_stale = self.sale.view.is_stale(shard, version)
            if not self._sale_is_stale:
                self.sale.view.confirm(poll, shard)
                self.sale.was_read(poll)
        seen = (version, shard.head.epoch, shard.settled)
        if self.reservations and (seen != self._seen or shard.now_ms >= self._first_end_ms):
            self._seen = seen
            self._find_stale()

    def failed(self, failure: Failure, began: float) -> None:
        """The shard could not be read by a call that began then."""
        if self.sale is not None:
            self.sale.failed(failure, began)
        for watched in self.reservations.values():
            watched.failed(failure, began)
        self.look_again()

    async def read_some(self) -> int:
        """Read the sale or, in turn with it, some reservations; return how many items or reservations that were."""
        if self._sale_is_stale and self.sale is not None and not (self._had_turn and self._stale):
            self._had_turn = True
            return await self._read_sale(self.sale)
        self._had_turn = False
        return await self._read_reservations() if self._stale else 0

    def _find_stale(self) -> None:
        self._first_end_ms = inf
        for reservation_id, watched in self.reservations.items():
            if watched.has_new or watched.view.is_stale(self._shard, self._version):
                if self._sources.may_ask_archive(watched):
                    self._stale[reservation_id] = watched
                else:
                    self.look_again()
                if watched.has_new:
                    self.look_again()
                continue
            ends_ms = watched.view.ends_ms
            if ends_ms is not None and ends_ms < self._first_end_ms:
                self._first_end_ms = ends_ms
            if watched.is_failing:
                watched.was_read(self._poll)

    async def _read_sale(self, watched: Watched[SaleView]) -> int:
        poll, shard, began = self._poll, self._shard, self._sources.clock()
        self._sale_is_stale = False
        found = await self._sources.stock.find_sale(self.key)

        def apply(read: SaleRead) -> None:
            watched.view.update(poll, read, shard)
            watched.was_read(poll)

        if not isinstance(found, Failure):
            apply(found)
        elif not is_absent(found):
            watched.failed(found, began)
        elif self._sources.may_ask_archive(watched):
            self._sources.ask_archive(watched, self._sources.archive.find_sale(self.key), apply)
        return max(1, watched.view.items)

    async def _read_reservations(self) -> int:
        poll, shard, version, began = self._poll, self._shard, self._version, self._sources.clock()
        some = dict(self._stale.popitem(last=False) for _ in range(min(len(self._stale), READ_AT_ONCE)))
        results = await self._sources.stock.find_reservations(self.key, list(some))

        def apply(watched: Watched[ReservationView], read: ReservationRead) -> None:
            watched.view.update(poll, read, shard, version)
            watched.was_read(poll)
            self._first_end_ms = min(self._first_end_ms, watched.view.ends_ms or inf)

        for (reservation_id, watched), found in zip(some.items(), results, strict=True):
            if not isinstance(found, Failure):
                apply(watched, found)
                continue
            self.look_again()
            if not is_absent(found):
                watched.failed(found, began)
            elif self._sources.may_ask_archive(watched):
                question = self._sources.archive.find_reservation(self.key, reservation_id)
                self._sources.ask_archive(watched, question, lambda read, of=watched: apply(of, read))  # type: ignore[misc]
        return len(some)


class ShardWatches:
    """The sales of one shard that are watched. Its polls are numbered from 1 and follow one another."""

    def __init__(self, number: int, sources: Sources) -> None:
        self.poll = 0
        self.sales: dict[SaleKey, SaleWatches] = {}
        self._number = number
        self._sources = sources
        self._stale: OrderedDict[SaleWatches, None] = OrderedDict()  # wait to be read, in this order

    async def run_poll(self) -> None:
        """Read the shard, and of what is stale as much as the budget allows. Never raises."""
        self.poll += 1
        began = self._sources.clock()
        try:
            await self._poll(began)
            while self._stale and self._sources.reads.is_left():
                sale, _ = self._stale.popitem(last=False)
                self._sources.reads.take(await sale.read_some())
                if sale.is_stale:
                    self._stale[sale] = None
        except Exception:  # any bug: its watches end in a while, and the next poll runs
            log.exception("poll_failed", shard=self._number)
            self._fail(list(self.sales.values()), _UNKNOWN, began)

    async def _poll(self, began: float) -> None:
        sales = list(self.sales.values())
        for first in range(0, len(sales), READ_AT_ONCE):
            some = sales[first : first + READ_AT_ONCE]
            shard = await self._sources.stock.read_versions(self._number, [sale.key for sale in some])
            if isinstance(shard, Failure):
                self._fail(sales[first:], shard, began)
                return
            for sale, version in zip(some, shard.sales, strict=True):
                sale.polled(self.poll, shard, version)
                if sale.is_stale:
                    self._stale[sale] = None

    def _fail(self, sales: list[SaleWatches], failure: Failure, began: float) -> None:
        self._stale.clear()
        for sale in sales:
            sale.failed(failure, began)
