"""Random histories in memory and on the scripts: every result and everything that is stored must be equal."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from inventory_service.domain.archive import ReturnArchived
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.events import Event, ReservationChange, SaleLeft, SaleMade, StockAdjusted
from inventory_service.domain.keys import BuyerKey, Position, SaleKey
from inventory_service.domain.moves import Compensate, Move, MoveKind
from inventory_service.domain.reservation import HELD, ID_REUSED, Line
from inventory_service.domain.reserve import Replay, Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import (
    ActOnSale,
    AdjustStock,
    CreateSale,
    NewItem,
    SaleAction,
    SaleRead,
    UpdateSale,
)
from inventory_service.domain.shard_state import StoredReservation
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import ShardVersions
from tests.contract.balances import assert_balances_add_up, balances_of
from tests.contract.shards import FIRST_MOMENT_MS, InMemoryShard, RedisShard, WholeStock
from tests.sales import make_sale

SALES = [SaleKey("default", f"sale-{number}") for number in range(2)]
IDS = 5
OUTBOX_LIMIT = 30

sales = st.sampled_from(SALES)
names = st.sampled_from([f"r-{number}" for number in range(IDS)])
skus = st.sampled_from(["lamp", "shade", "vase"])
positions = st.builds(Position, st.just(0), st.integers(1, 2), st.integers(1, 40), st.integers(0, 2))


def lines_of(quantities: st.SearchStrategy[int], at_least: int) -> st.SearchStrategy[tuple[Line, ...]]:
    """Lines sorted by SKU, each SKU once."""
    return st.dictionaries(skus, quantities, min_size=at_least).map(
        lambda lines: tuple(Line(*pair) for pair in sorted(lines.items()))
    )


def new_items(at_least: int) -> st.SearchStrategy[tuple[NewItem, ...]]:
    """Items sorted by SKU, each SKU once, some of them limited."""
    stock = st.tuples(st.integers(0, 6), st.sampled_from([0, 0, 2]))
    return st.dictionaries(skus, stock, min_size=at_least).map(
        lambda items: tuple(NewItem(sku, *values) for sku, values in sorted(items.items()))
    )


reserves = st.builds(
    Reserve,
    sale=sales,
    reservation_id=names,
    buyer_id=st.sampled_from(["b-1", "b-2"]),
    lines=lines_of(st.integers(1, 3), at_least=1),
    hold_ttl_ms=st.sampled_from([None, None, None, 1000, 5000]),
    reference=st.sampled_from(["", "", "", "cart-7"]),
)
replays = st.builds(Replay, claim=reserves.map(lambda claim: claim._replace(hold_ttl_ms=None)), sells=st.booleans())
revisions = st.sampled_from([None, None, None, None, 0, 1, 2])
# `builds` would draw what is left out.
move_of = partial(
    st.builds,
    Move,
    sale=sales,
    reservation_id=names,
    note=st.sampled_from(["", "why"]),
    expected_revision=revisions,
    lines=st.just(()),
    hold_ttl_ms=st.just(0),
    discards=st.just(False),
)
some_lines = lines_of(st.integers(1, 3), at_least=0)
moves = st.one_of(
    move_of(kind=st.sampled_from([MoveKind.CONFIRM, MoveKind.RELEASE, MoveKind.SPEND])),
    move_of(kind=st.just(MoveKind.CONFIRM), lines=some_lines),
    move_of(kind=st.just(MoveKind.RETURN), lines=some_lines, discards=st.booleans()),
    move_of(kind=st.just(MoveKind.EXTEND), hold_ttl_ms=st.sampled_from([1000, 2500, 9000])),
)
block_changes = st.builds(
    BlockChange,
    buyer=st.builds(BuyerKey, st.just("default"), st.sampled_from(["b-1", "b-2"])),
    is_blocked=st.sampled_from([True, False, False]),
    before=st.integers(4, 6),
    version=st.integers(5, 9),
)
creates = st.builds(
    CreateSale,
    sale=sales,
    title=st.sampled_from(["", "Lámparas"]),
    start_time_ms=st.sampled_from([None, None, FIRST_MOMENT_MS + 1500]),
    end_time_ms=st.sampled_from([None, None, FIRST_MOMENT_MS + 3000, FIRST_MOMENT_MS + 20_000]),
    hold_ttl_ms=st.sampled_from([0, 1000, 3000]),
    max_hold_ttl_ms=st.just(3000),
    buyer_limit=st.sampled_from([0, 0, 4]),
    items=new_items(at_least=1),
    attempts_per_minute=st.sampled_from([0, 0, 3]),
    return_window_ms=st.sampled_from([0, 0, 4000]),
    generation=st.just(""),
)


etags = st.sampled_from(["", "", "", "1-1-0"])
acts = st.builds(
    ActOnSale,
    sale=sales,
    action=st.sampled_from([*SaleAction, SaleAction.RESUME, SaleAction.RESUME]),
    etag=etags,
    reason=st.sampled_from(["", "why"]),
    actor=st.just(""),
)
updates = st.builds(
    UpdateSale,
    sale=sales,
    settings=st.fixed_dictionaries(
        {},
        optional={
            "title": st.sampled_from(["", "Lámparas"]),
            "start_time_ms": st.sampled_from([None, FIRST_MOMENT_MS, FIRST_MOMENT_MS + 2500]),
            "end_time_ms": st.sampled_from([None, FIRST_MOMENT_MS + 2500, FIRST_MOMENT_MS + 30_000]),
            "hold_ttl_ms": st.sampled_from([0, 1000, 3000]),
            "max_hold_ttl_ms": st.sampled_from([None, 2000, 4000]),
            "buyer_limit": st.sampled_from([0, 0, 4]),
            "return_window_ms": st.sampled_from([0, 4000]),
            "attempts_per_minute": st.sampled_from([0, 3]),
        },
    ),
    items=new_items(at_least=0),
    etag=etags,
    actor=st.just(""),
)
adjustments = st.builds(
    lambda change, **rest: AdjustStock(delta=change[0], new_total=change[1], **rest),
    change=st.one_of(st.tuples(st.sampled_from([-4, -1, 1, 5]), st.none()), st.tuples(st.none(), st.integers(0, 8))),
    sale=sales,
    adjustment_id=st.sampled_from(["a-1", "a-2", "a-3", "a-4"]),
    sku=skus,
    expected_total=st.sampled_from([None, None, None, 6]),
    reason=st.sampled_from(["counted", "found"]),
    reference=st.sampled_from(["", "note 7"]),
)


changes = st.builds(
    ChangeHold,
    sale=sales,
    reservation_id=names,
    lines=lines_of(st.integers(1, 4), at_least=1),
    expected_revision=revisions,
)


def return_to(request: ReturnArchived, stock: WholeStock) -> Awaitable[Granted | Failure]:
    """Ask a stock for a return."""
    return stock.return_archived(request)


def sale_of(event: Event) -> SaleKey:
    """The sale that an event is about."""
    if isinstance(event, ReservationChange):
        return event.reservation.sale
    return event.request.sale if isinstance(event, SaleMade | StockAdjusted) else event.sale


class Histories(RuleBasedStateMachine):
    """Does the same to the stock in memory and to the scripts, on one shard, which is opened anew for every history."""

    runner: asyncio.Runner
    url: str

    @initialize(request=creates)
    def open_shard(self, request: CreateSale) -> None:
        self.left: dict[tuple[SaleKey, str], StoredReservation] = {}  # reservations that were archived
        self.gone: set[SaleKey] = set()  # sales that were archived
        self.memory = InMemoryShard(OUTBOX_LIMIT)
        self.scripts = RedisShard(self.url, OUTBOX_LIMIT)
        self.runner.run(self.scripts.ask("FLUSHALL"))
        self.runner.run(self.scripts.open_shard())
        self.create_sale(request._replace(sale=SALES[0], start_time_ms=None, hold_ttl_ms=1000))

    def call_both(self, ask: Callable[[WholeStock], Awaitable[Any]]) -> Any:
        """Call both in the same way; fails unless the results are equal."""
        return self.read_both([ask])[0]

    def read_both(self, questions: Sequence[Callable[[WholeStock], Awaitable[Any]]]) -> Sequence[Any]:
        """Ask both the same questions, all at once: so more than one only if they change nothing."""

        async def asked() -> Sequence[Sequence[Any]]:
            stocks = self.memory.stock, self.scripts.stock
            return [await asyncio.gather(*(ask(stock) for ask in questions)) for stock in stocks]

        expected, answers = self.runner.run(asked())
        assert answers == expected
        return answers

    @rule(request=creates)
    def create_sale(self, request: CreateSale) -> None:
        if request.sale in self.gone:  # a server asks the ledger, and makes no sale again
            return
        self.call_both(lambda stock: make_sale(stock, request))

    @rule(request=st.one_of(acts, updates))
    def change_sale(self, request: ActOnSale | UpdateSale) -> None:
        self.call_both(lambda stock: stock.change_sale(request))

    @rule(request=adjustments)
    def adjust_stock(self, request: AdjustStock) -> None:
        self.call_both(lambda stock: stock.change_sale(request))

    @rule(requests=st.lists(reserves, min_size=1, max_size=4))
    def reserve(self, requests: Sequence[Reserve]) -> None:
        self.call_both(lambda stock: stock.reserve_many(0, requests))

    @rule(request=replays)
    def replay(self, request: Replay) -> None:
        self.call_both(lambda stock: stock.replay(request))

    @rule(requests=st.lists(moves, min_size=1, max_size=4))
    def move(self, requests: Sequence[Move]) -> None:
        self.call_both(lambda stock: stock.move_many(0, requests))

    @rule(request=changes)
    def change_hold(self, request: ChangeHold) -> None:
        self.call_both(lambda stock: stock.change_hold(request))

    @rule(sale=sales, name=names, data=st.data())
    def compensate(self, sale: SaleKey, name: str, data: st.DataObject) -> None:
        book = self.memory.memory.state().sales.get(sale)
        record = book.reservations.get(name) if book else None
        created = data.draw(st.one_of(positions, st.just(record.reservation.created)) if record else positions)
        reason = data.draw(st.sampled_from([1, ID_REUSED]))
        self.call_both(lambda stock: stock.compensate(Compensate(sale, name, created, reason, detail="refused")))

    @rule(change=block_changes)
    def change_block(self, change: BlockChange) -> None:
        made = [self.runner.run(shard.copies.change(0, change)) for shard in (self.memory, self.scripts)]
        assert made[0] == made[1]

    @rule()
    def expire(self) -> None:
        self.call_both(lambda stock: stock.expire(0))

    @rule(ms=st.sampled_from([1, 500, 1000, 1000, 3000, 31_000, -2000]))
    def tick(self, ms: int) -> None:
        self.runner.run(self.memory.tick(ms))
        self.runner.run(self.scripts.tick(ms))
        self.read_everything()

    @rule(behind=st.integers(0, 3))
    def settle_up_to(self, behind: int) -> None:
        seq = max(0, len(self.memory.memory.commits()) - behind)
        self.runner.run(self.memory.settle_up_to(seq))
        self.runner.run(self.scripts.settle_up_to(seq))

    @rule(sale=sales, retention_ms=st.sampled_from([0, 2000]))
    def archive(self, sale: SaleKey, retention_ms: int) -> None:
        before, all_sales = self.stored_in(sale), set(self.memory.memory.state().sales)
        self.call_both(lambda stock: stock.archive(sale, retention_ms))
        self.gone |= all_sales - set(self.memory.memory.state().sales)
        for name in before.keys() - self.stored_in(sale).keys():
            self.left[sale, name] = before[name]

    @rule(sale=sales, lines=some_lines, behind=st.sampled_from([0, 0, 1]), unsettled=st.sampled_from([0, 0, 1]))
    def return_what_has_left(self, sale: SaleKey, lines: tuple[Line, ...], behind: int, unsettled: int) -> None:
        """What is held is sold, and leaves; then it comes back, by a server that looked at that moment or before."""
        sold = [Move(sale, name, MoveKind.CONFIRM) for name in sorted(self.stored_in(sale))]
        self.call_both(lambda stock: stock.move_many(0, sold))
        self.settle_up_to(0)
        self.archive(sale, 0)
        seq = len(self.memory.memory.commits())
        head, watermark = CommitId(1, max(0, seq - behind)), CommitId(1, max(0, seq - unsettled))
        for (of_sale, name), stored in self.left.items():
            asked = Move(of_sale, name, MoveKind.RETURN, "broken", lines=lines)
            request = ReturnArchived(asked, head, watermark, stored.reservation, stored.fingerprint)
            self.call_both(partial(return_to, request))

    def stored_in(self, sale: SaleKey) -> dict[str, StoredReservation]:
        """The reservations of a sale, by id."""
        book = self.memory.memory.state().sales.get(sale)
        return dict(book.reservations) if book else {}

    def read_everything(self) -> None:
        """Every id, also those that were never given or are archived, and how many holds there are."""
        ids = [(sale, f"r-{number}") for sale in SALES for number in range(IDS)]
        self.read_both([lambda stock, id=each: stock.find_reservation(*id) for each in ids])  # type: ignore[misc]
        self.call_both(lambda stock: stock.count_holds(0))

    @invariant()
    def sales_are_equal_and_add_up(self) -> None:
        booked = balances_of(self.memory.memory.commits())
        questions = [lambda stock, sale=sale: stock.find_sale(sale) for sale in SALES]
        for sale, found in zip(SALES, self.read_both(questions), strict=True):
            for item in found.sale.items if isinstance(found, SaleRead) else ():
                assert min(item.available, item.held, item.sold) >= 0
                assert item.available + item.held + item.sold == item.total == booked[sale, item.sku]["total"]

    @invariant()
    def versions_are_the_last_commits(self) -> None:
        """A watch reads a sale only after its version has moved, so each commit about a sale must move it."""
        last: dict[SaleKey, CommitId | None] = dict.fromkeys(SALES)
        for commit in self.memory.memory.commits():
            for event in commit.events:
                last[sale_of(event)] = None if isinstance(event, SaleLeft) else CommitId(1, commit.seq)
        found = self.runner.run(self.scripts.watched.read_versions(0, SALES))
        assert isinstance(found, ShardVersions)
        assert (found.head.seq, found.sales) == (len(self.memory.memory.commits()), [last[sale] for sale in SALES])

    def teardown(self) -> None:
        if not hasattr(self, "scripts"):
            return
        self.read_everything()
        self.runner.run(self.compare_all())
        self.runner.run(self.scripts.connections.close())

    async def compare_all(self) -> None:
        """Compare what no result shows: commits, buyers' units, and when holds end."""
        assert await self.scripts.commits() == await self.memory.commits()
        await assert_balances_add_up(self.scripts)
        assert await self.scripts.blocked() == await self.memory.blocked()
        for key, book in self.memory.memory.state().sales.items():
            assert await self.scripts.buyers(key) == book.buyers
            reservations = [record.reservation for record in book.reservations.values()]
            ends = {each.reservation_id: each.expire_time_ms for each in reservations if each.state == HELD}
            assert await self.scripts.holds(key) == ends
            released_ms = book.settings.release_time_ms
            due_ms = released_ms if ends and released_ms else min(ends.values(), default=float("inf"))
            assert await self.scripts.first_due(key) == due_ms


@pytest.mark.timeout(400)  # passing takes seconds; a failure is first made as short as it can be
def test_both_implementations_give_the_same_results(shared_valkey: str) -> None:
    """Python and Lua implement one rule: whatever the calls and their order, both give the same results.

    Promise 1: after each step, what is available, held and sold of an item comes to the total that it was made with
    and adjusted to, less what was discarded, and none of them is below zero.
    """
    with asyncio.Runner() as runner:
        machine = type("Machine", (Histories,), {"runner": runner, "url": shared_valkey, "TestCase": None})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=50,
                stateful_step_count=32,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
