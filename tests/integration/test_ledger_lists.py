"""The ledger's lists on PostgreSQL: every selection against a plain model, page by page, and at what cost.

Rows are random; the seed is printed, and HOLDFAST_TEST_SEED sets another one.
"""

import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

import asyncpg
import pytest
from holdfast.inventory.v1.inventory_admin_service_pb2 import DeadLetterState
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import SaleState

from holdfast_runtime.postgres import Session
from inventory_service.adapters.ledger.lists import PostgresLists
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Key,
    Listed,
    PageRequest,
    ReservationSelection,
    SaleSelection,
)
from inventory_service.domain.page_tokens import key_from_token, page_token
from tests.integration import listed_rows as rows
from tests.servers import connected

SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "1"))
SOME_STATES = ((), ("HELD",), ("EXPIRED",), ("RELEASED", "RETURNED"), ("CONFIRMED", "COMPENSATED", "HELD"))
NOW = rows.START + timedelta(seconds=1)
NOW_MS = [int((NOW + timedelta(seconds=shard)).timestamp() * 1000) for shard in range(rows.SHARDS)]
START_MS = int(rows.START.timestamp() * 1000)
T = TypeVar("T")
Read = Callable[[PageRequest], Awaitable[Listed[T]]]


@pytest.fixture
async def db(database: str) -> AsyncIterator[Session]:
    async with connected(database) as db:
        yield db


@pytest.fixture
async def pool(database: str) -> AsyncIterator[LedgerPool]:
    pool = LedgerPool(database)
    yield pool
    await pool.close()


@pytest.fixture
def random() -> Random:
    print(f"HOLDFAST_TEST_SEED={SEED}")
    return Random(SEED)


async def all_of(read: Read[T], selection: Any, sizes: Iterable[int]) -> list[T]:
    """Every element of a list, through pages of these sizes in turn; each page follows the token of the one before."""
    found: list[T] = []
    after: Key | None = None
    for size in sizes:
        page = await read(PageRequest(size, after))
        assert len(page.elements) <= size
        found += [element for _, element in page.elements]
        if page.last_looked_at is None:
            return found
        after = key_from_token(selection, page_token(selection, page.last_looked_at))
    raise AssertionError("the sizes come to an end")


def numbers(kind: Any, prefix: str, names: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted(kind.Value(prefix + name) for name in names))


async def test_reservations_are_those_of_the_selection_newest_first(
    db: Session, pool: LedgerPool, random: Random
) -> None:
    """By buyer, sale, reference and state, in every combination, also where a page looks at seven rows only."""
    sales = list(rows.random_sales(random))
    stored = list(rows.random_reservations(random, sales, 600))
    await rows.insert_sales(db, sales)
    await rows.insert_reservations(db, stored)
    selections = [
        named
        for named in itertools.product(("", rows.IDS[0]), ("", rows.IDS[1]), ("", rows.IDS[1]), SOME_STATES)
        if any(named[:3])
    ]

    for (buyer_id, sale_id, reference, states), tenant in itertools.product(selections, rows.TENANTS):
        selection = ReservationSelection(
            tenant, buyer_id, sale_id, reference, numbers(ReservationState, "RESERVATION_STATE_", states)
        )
        wanted = [
            (r.create_time, r.sale_id, r.reservation_id, rows.seen_state(r, sales, NOW_MS))
            for r in stored
            if (r.tenant == tenant and buyer_id in ("", r.buyer_id) and sale_id in ("", r.sale_id))
            and (reference in ("", r.reference))
            and (not states or rows.seen_state(r, sales, NOW_MS) in states)
        ]
        for lists, size in ((PostgresLists(pool), 20), (PostgresLists(pool, max_looked_at=7), 5)):
            sizes = itertools.cycle([size, 1, 3 * size])
            found = await all_of(lambda page: lists.reservations(selection, page, (), NOW_MS), selection, sizes)  # noqa: B023
            assert [
                (
                    *(rows.START + timedelta(milliseconds=r.create_time_ms - START_MS), r.sale.sale_id),
                    *(r.reservation_id, ReservationState.Name(r.state).removeprefix("RESERVATION_STATE_")),
                )
                for r in found
            ] == sorted(wanted, reverse=True), selection
            assert all(r.sale.tenant == tenant and r.lines == (("lamp", 1, 0, 0),) for r in found)


async def test_sales_are_those_of_the_selection_newest_first(db: Session, pool: LedgerPool, random: Random) -> None:
    """By the states that the domain's rule tells."""
    sales = [sale for _ in range(9) for sale in rows.random_sales(random)]
    sales = [sale._replace(sale_id=f"{sale.sale_id}{number}") for number, sale in enumerate(sales)]
    await rows.insert_sales(db, sales)

    seen = set()
    for states in ((), ("OPEN",), ("PAUSED", "SCHEDULED"), ("ENDED",), ("CLOSED", "ARCHIVED")):
        for tenant, (most, size) in itertools.product(rows.TENANTS, ((20_000, 10), (500, 1000))):
            selection = SaleSelection(tenant, numbers(SaleState, "SALE_STATE_", states))
            lists, now_ms = PostgresLists(pool, most), int(NOW.timestamp() * 1000)
            read: Any = lambda page: lists.sales(selection, page, (), now_ms)  # noqa: B023, E731
            found = await all_of(read, selection, itertools.repeat(size))

            told = [(s.sale.sale_id, SaleState.Name(s.state).removeprefix("SALE_STATE_")) for s in found]
            wanted = sorted((s for s in sales if s.tenant == tenant), key=lambda s: (s.create_time, s.sale_id))
            with_state = [(s.sale_id, rows.sale_state(s, NOW)) for s in reversed(wanted)]
            assert told == [each for each in with_state if not states or each[1] in states]
            assert all(s.items == () and s.etag == "1-2-3" for s in found)
            seen |= {state for _, state in told}
    assert len(seen) == 6


async def test_adjustments_and_dead_letters_are_those_of_the_selection_newest_first(
    db: Session, pool: LedgerPool, random: Random
) -> None:
    """By item, and by sale and state; equal moments in the order of their positions."""
    sales = list(rows.random_sales(random))
    adjustments = list(rows.random_adjustments(random, sales, 300))
    letters = list(rows.random_dead_letters(random, sales, 300))
    await rows.insert_adjustments(db, adjustments)
    await rows.insert_dead_letters(db, letters)

    for tenant, most in itertools.product(rows.TENANTS, (20_000, 4)):
        lists = PostgresLists(pool, most)
        for sku in ("", rows.IDS[0]):
            selected = AdjustmentSelection(tenant, rows.IDS[1], sku)
            read: Any = lambda page: lists.adjustments(selected, page, ())  # noqa: B023, E731
            found = await all_of(read, selected, itertools.repeat(3))
            mine = [a for a in adjustments if a[:2] == selected[:2] and sku in ("", a.sku)]
            wanted = sorted(mine, key=lambda a: (a.create_time, a.epoch, a.seq, a.index), reverse=True)
            assert [a.adjustment_id for a in found] == [a.adjustment_id for a in wanted]
            assert {a.sale for a in found} == {(tenant, rows.IDS[1])}
        for sale_id, states in itertools.product(("", rows.IDS[1]), ((), ("OPEN",), ("SETTLED", "REPLAYED"))):
            chosen = DeadLetterSelection(tenant, sale_id, numbers(DeadLetterState, "DEAD_LETTER_STATE_", states))
            read = lambda page: lists.dead_letters(chosen, page, ())  # noqa: B023, E731
            told = await all_of(read, chosen, itertools.repeat(6))
            ours = [d for d in letters if d.tenant == tenant and sale_id in ("", d.sale_id)]
            ours = [d for d in ours if not states or d.state in states]
            expected = sorted(((d.create_time, *d[5:], d.reservation_id) for d in ours), reverse=True)
            assert [(*d.created, d.reservation_id) for d in told] == [each[1:] for each in expected]
            assert all(d.sale.tenant == tenant and d.lines == (("lamp", 2),) and not d.sold for d in told)


async def test_blocked_buyers_are_those_of_the_tenant_newest_first(db: Session, pool: LedgerPool) -> None:
    """Those blocked in one statement have one moment, and stand in the order of their ids."""
    for tenant, buyers in (("acme", ("a1", "B-1")), ("zenith", ("x",)), ("acme", ("A-1", "b-1", "a.1"))):
        await db.executemany(
            """insert into blocked_buyer (tenant, buyer_id, reason, actor, create_time)
               values ($1, $2, 'fraud', 'me', $3)""",
            [(tenant, buyer, rows.START + timedelta(seconds=len(buyers))) for buyer in buyers],
        )
    selection, lists = BlockedBuyerSelection("acme"), PostgresLists(pool)

    found = await all_of(lambda page: lists.blocked_buyers(selection, page), selection, itertools.repeat(2))

    assert [buyer.buyer_id for buyer in found] == ["b-1", "a.1", "A-1", "a1", "B-1"]
    assert found[0][1:] == ("fraud", START_MS + 3000, "me")


async def test_pages_lose_and_double_nothing_while_rows_are_inserted(
    db: Session, pool: LedgerPool, random: Random
) -> None:
    """Whatever is inserted before, between and behind pages: what was there at the first page is told once."""
    sales = list(rows.random_sales(random))
    stored = [r._replace(buyer_id="A-1") for r in rows.random_reservations(random, sales, 900)]
    await rows.insert_sales(db, sales)
    await rows.insert_reservations(db, stored[:400])
    selection, lists = ReservationSelection("acme", "A-1", "", "", ()), PostgresLists(pool, max_looked_at=50)
    later = iter(stored[400:])

    async def read_and_insert(page: PageRequest) -> Listed[Any]:
        listed = await lists.reservations(selection, page, (), NOW_MS)
        await rows.insert_reservations(db, list(itertools.islice(later, 15)))
        return listed

    found = [r.reservation_id for r in await all_of(read_and_insert, selection, itertools.cycle([7, 9]))]

    assert len(found) == len(set(found))
    assert {r.reservation_id for r in stored[:400] if r.tenant == "acme"} <= set(found)


async def test_no_list_scans_a_table(db: Session, pool: LedgerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In tables of 50,000 rows that were never analysed, a page reads what it looks at and no more."""
    for statement in FILL:
        await db.execute(statement)
    expired = numbers(ReservationState, "RESERVATION_STATE_", ["EXPIRED"])
    lists, page = PostgresLists(pool, max_looked_at=2000), PageRequest(50, None)
    asked: list[tuple[str, int, Any]] = []  # which index serves, how many rows it reads at most, and the list
    for column, states in itertools.product(("buyer_id", "sale_id", "reference"), ((), expired)):
        buyer_id, sale_id, reference = ("b" if column == each else "" for each in ("buyer_id", "sale_id", "reference"))
        selection = ReservationSelection("acme", buyer_id, sale_id, reference, states)
        index = f"reservation_by_{column.removesuffix('_id')}"
        asked.append((index, 2020 if states else 100, lists.reservations(selection, page, (), NOW_MS)))
    asked.append(("sale_by_time", 2000, lists.sales(SaleSelection("acme", (1,)), page, (), 1)))
    asked.append(("adjustment_by_time", 2000, lists.adjustments(AdjustmentSelection("acme", "b", "x"), page, ())))
    for sale_id, index in (("", "dead_letter_by_time"), ("b", "dead_letter_by_sale")):
        asked.append((index, 2000, lists.dead_letters(DeadLetterSelection("acme", sale_id, (3,)), page, ())))
    asked.append(("blocked_buyer_by_time", 51, lists.blocked_buyers(BlockedBuyerSelection("acme"), page)))

    for index, most, listing in asked:
        nodes = [node for plan in await plans_of(listing, monkeypatch) for node in nodes_of(plan)]
        assert index in {node.get("Index Name") for node in nodes}
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}, index
        if not index.startswith("reservation"):  # whose lines are sorted, and those of one moment
            assert not [node for node in nodes if "Sort" in node["Node Type"]], index
        most_read = max(node["Actual Rows"] * node["Actual Loops"] for node in nodes)
        assert most_read <= most + 1, index  # a window function may read one row ahead


FILL = (
    """insert into sale (tenant, sale_id, title, start_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit, create_time,
       update_time, shard, etag_epoch, etag_seq, etag_index, body, attempts_per_minute, return_window_ms)
       select 'acme', case n when 1 then 'b' else 's' || n end, '', now(), 1, 1, 0, now() - n * interval '1 s',
              now(), 0, 1, 1, 0, '', 0, 0 from generate_series(1, 50000) n""",
    """insert into reservation select 'acme', 'b', 'r' || n, 'b', 'HELD', 1, now() - n * interval '1 ms', now(),
       '9999-01-01', 0, 1, n, 0, 1, n, 0, 'RECORDED', null, '', 0, 'b' from generate_series(1, 50000) n""",
    """insert into adjustment select 'acme', 'b', 'a' || n, 'lamp', 1, null, null, '', '', '', 1, 1, 0, 1, n, 0,
       now() - n * interval '1 ms' from generate_series(1, 50000) n""",
    """insert into dead_letter select 0, 1, n, 0, 'acme', 'b', 'r' || n, 'b', '[]', 'BUYER_BLOCKED', '', 1, n, 0,
       now() - n * interval '1 ms', 'OPEN', 'HELD', null, now(), null, 1, now(), 1, n, 0, '[]', '[]'
       from generate_series(1, 50000) n""",
    """insert into blocked_buyer select 'acme', 'b' || n, '', now() - n * interval '1 ms', ''
       from generate_series(1, 50000) n""",
)


async def plans_of(listing: Awaitable[object], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The plans by which the statements of a list are carried out, but for its settings and watermarks."""
    plans: list[dict[str, Any]] = []
    fetch = asyncpg.Connection.fetch

    async def explained(self: Any, statement: str, *arguments: Any, **options: Any) -> Any:
        [row] = await fetch(self, f"explain (analyze, format json) {statement}", *arguments)
        plans.append(json.loads(row[0])[0]["Plan"])
        return await fetch(self, statement, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg.Connection, "fetch", explained)
        await listing
    return plans


def nodes_of(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [plan, *itertools.chain.from_iterable(map(nodes_of, plan.get("Plans", ())))]
