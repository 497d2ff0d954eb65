"""Draws histories of one sale as its Redis would write them: every kind of change, and none that Redis would refuse."""

from collections.abc import Callable, Collection, Iterator, Sequence
from random import Random

from holdfast.inventory.v1.commit_pb2 import Event, SaleChanged, SaleLeft, StockAdjusted
from holdfast.inventory.v1.sale_pb2 import Item

from bench.commits import (
    COMPENSATED,
    CONFIRMED,
    EXPIRED,
    HELD,
    RELEASED,
    RETURNED,
    SALE,
    TENANT,
    Counts,
    FakeShard,
    KnownReservation,
    MadeCommit,
)

REFUSED_BUYER = "bob"  # whose orders a ledger may refuse
Created = tuple[int, int, int]


def is_poison(name: str) -> bool:
    """Whether a ledger may refuse the confirm of this reservation."""
    return name.startswith("poison")


class SaleHistory:
    """A sale whose shard goes on by random commits; the stock that its Redis has follows from the reservations."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.shard = FakeShard()
        self.totals = {"bulb": 20, "lamp": 30}
        self.archived: list[KnownReservation] = []
        self.refused: Collection[Created] = ()  # by the ledger, and to be compensated sooner or later
        self._made = 0
        self._events: list[Event] = []
        self._close_ms = self._release_ms = 0

    def commits(self, count: int) -> Iterator[MadeCommit]:
        """The commits of a sale, from the one that makes it to the one with which it leaves Redis."""
        yield self.shard.open_sale(SALE, **self.totals)
        for _ in range(count):
            for _ in range(self.random.choice((1, 1, 2, 3))):
                self._draw()()
            if self.random.random() < 0.3:
                self._compensate()
            if self._events:
                yield self._commit()
        self._compensate()
        self._end_all()
        yield self._commit()
        self._events.append(Event(sale_left=SaleLeft(tenant=TENANT, sale_id=SALE)))
        yield self._commit()

    def stock(self) -> dict[str, tuple[int, int]]:
        """Of each item the units in all, and those held or owned."""
        taken = dict.fromkeys(self.totals, 0)
        for one in (*self.shard.known.values(), *self.archived):
            for sku, units in one.owned().items():
                taken[sku] += units
        return {sku: (total, taken[sku]) for sku, total in self.totals.items()}

    def _commit(self) -> MadeCommit:
        made = self.shard.commit(*self._events)
        self._events = []
        return made

    def _compensate(self) -> None:
        """What the compensator does for refused orders that still have units."""
        for name, one in list(self.shard.known.items()):
            if one.created in self.refused and one.state in (HELD, CONFIRMED):
                self._move(name, COMPENSATED)

    def _end_all(self) -> None:
        for name, one in list(self.shard.known.items()):
            if one.state == HELD:
                self._move(name, EXPIRED)

    def _draw(self) -> Callable[[], None]:
        moves = (self._confirm, self._end, self._extend, self._change, self._return, self._archive)
        operators = (self._adjust, self._set, self._close)
        return self.random.choices([self._reserve, *moves, *operators], [6, 5, 2, 2, 3, 4, 1, 2, 1, 0.1])[0]

    def _reserve(self) -> None:
        """A new reservation, now and then under the id of one that has left Redis, and a spent id."""
        free = [one.claim.reservation_id for one in self.archived if one.claim.reservation_id not in self.shard.known]
        kind = "poison" if self.random.random() < 0.2 else "order"
        name = self.random.choice(free) if free and self.random.random() < 0.3 else f"{kind}-{self._made}"
        lines = {sku: self.random.randint(1, 3) for sku in self._some_skus()}
        self._made += 1
        if self.random.random() < 0.05:
            self.shard.claim(name, len(self._events), {}, "")
            self._events.append(self.shard.changed(name, RELEASED))
        elif not self._close_ms and self._fits(lines):
            self.shard.claim(name, len(self._events), lines, self.random.choice(("ann", REFUSED_BUYER)))
            self._move(name, self.random.choice((HELD, HELD, HELD, CONFIRMED)))

    def _confirm(self) -> None:
        """All of a hold, or a part of it."""
        if name := self._any(HELD):
            counts = self._drawn(name, lambda claimed, _sold, _back: (claimed, self.random.randint(0, claimed), 0))
            self._move(name, CONFIRMED, counts if any(sold for _, sold, _ in counts.values()) else None)

    def _end(self) -> None:
        if name := self._any(HELD):
            self._move(name, self.random.choice((RELEASED, EXPIRED)))

    def _extend(self) -> None:
        if name := self._any(HELD):
            self._events.append(self.shard.changed(name, HELD, extended_ms=self.random.randint(1, 999)))

    def _change(self) -> None:
        """Other units and SKUs, of which those that rise have to be there."""
        if name := self._any(HELD):
            wanted = {sku: self.random.randint(1, 4) for sku in self._some_skus()}
            owned = self.shard.known[name].owned()
            if self._fits({sku: units - owned.get(sku, 0) for sku, units in wanted.items()}):
                self._move(name, HELD, {sku: (units, 0, 0) for sku, units in sorted(wanted.items())})

    def _return(self) -> None:
        """More than had come back, sold again or discarded."""
        if name := self._any(CONFIRMED):
            counts = self._drawn(name, lambda claimed, sold, back: (claimed, sold, self.random.randint(back, sold)))
            before, is_discarded = self.shard.known[name].counts, self.random.random() < 0.3
            if counts == before:
                return
            for sku in counts:
                self.totals[sku] -= (counts[sku][2] - before[sku][2]) * is_discarded
            is_whole = all(back == sold for _, sold, back in counts.values())
            self._move(name, RETURNED if is_whole else CONFIRMED, counts, discarded=is_discarded)

    def _archive(self) -> None:
        """A record that no event of this commit names leaves Redis, and that is not refused unless it has ended."""
        name = self._any(CONFIRMED, RELEASED, EXPIRED, RETURNED, COMPENSATED)
        if not self._events and name:
            one = self.shard.known[name]
            may_be_refused = is_poison(name) or one.claim.buyer_id == REFUSED_BUYER
            if one.state != CONFIRMED or not may_be_refused:
                self.archived.append(self.shard.known.pop(name))

    def _adjust(self) -> None:
        sku = self.random.choice(list(self.totals))
        total, taken = self.stock()[sku]
        change = self.random.randint(max(-5, taken - total), 5)
        self.totals[sku] = total + change
        event = StockAdjusted(
            tenant=TENANT, sale_id=SALE, adjustment_id=f"a-{self.shard.seq}-{len(self._events)}", sku=sku,
            change=change, total_after=total + change,
        )  # fmt: skip
        if self.random.random() < 0.5:
            event.delta = change
        else:
            event.new_total, event.expected_total = total + change, total
        self._events.append(Event(stock_adjusted=event))

    def _set(self) -> None:
        """Other settings, now and then with a new item."""
        if not self._close_ms:
            added = [Item(sku=f"new-{self.shard.seq}-{len(self._events)}", total=self.random.randint(0, 9))]
            self._change_settings(added if self.random.random() < 0.3 else [])

    def _close(self) -> None:
        """For good, and perhaps with a release of the holds, which are then taken back in steps."""
        if not self._close_ms:
            self._close_ms = self.shard.time_ms
            self._release_ms = self.random.choice((0, self._close_ms))
            self._change_settings([])

    def _change_settings(self, added: Sequence[Item]) -> None:
        event = SaleChanged(
            tenant=TENANT, sale_id=SALE, title=f"Lamps {self.shard.seq}", start_time_ms=self.shard.time_ms,
            hold_ttl_ms=60_000, max_hold_ttl_ms=60_000, buyer_limit=self.random.randint(0, 9),
            paused=self.random.random() < 0.5, added=added, reason="drawn",
            close_time_ms=self._close_ms, release_time_ms=self._release_ms,
        )  # fmt: skip
        self.totals |= {item.sku: item.total for item in added}
        self._events.append(Event(sale_changed=event))

    def _move(self, name: str, state: int, counts: Counts | None = None, discarded: bool = False) -> None:
        self._events.append(self.shard.changed(name, state, counts, discarded=discarded))

    def _drawn(self, name: str, draw: Callable[[int, int, int], tuple[int, int, int]]) -> Counts:
        return {sku: draw(*counts) for sku, counts in self.shard.known[name].counts.items()}

    def _any(self, *states: int) -> str | None:
        """A reservation in one of these states."""
        names = [name for name, one in self.shard.known.items() if one.state in states]
        return self.random.choice(names) if names else None

    def _some_skus(self) -> list[str]:
        return sorted(self.random.sample(list(self.totals), k=self.random.choice((1, 1, 2))))

    def _fits(self, wanted: dict[str, int]) -> bool:
        stock = self.stock()
        return all(units <= stock[sku][0] - stock[sku][1] for sku, units in wanted.items())
