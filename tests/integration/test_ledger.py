"""The ledger on a real PostgreSQL: every commit once, refusals without damage, and no outage mistaken for one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event
from prometheus_client import CollectorRegistry

from order_persister.ledger.apply import Ledger
from order_persister.ledger.migrator import migrate, migrations
from order_persister.ledger.postgres import Database
from order_persister.rule.chain import Record
from order_persister.rule.shards import Outcome
from tests.books import disagreements
from tests.commits import (
    COMPENSATED,
    CONFIRMED,
    HELD,
    RELEASED,
    RETURNED,
    SALE,
    TENANT,
    FakeShard,
    Made,
    record,
)
from tests.ledgers import ledger_in, open_shards, waits
from tests.servers import StartPostgres, connected
from tests.waiting import eventually

POISON = "alter table reservation add constraint poison check (reservation_id <> 'poison')"
POISON_CONFIRM = (
    "alter table reservation add constraint poison check (reservation_id <> 'poison' or state <> 'CONFIRMED')"
)
HELD_ONE, SOLD_ONE = {"available": 1999, "held": 1}, {"available": 1999, "sold": 1}
POISON_END = "alter table reservation add constraint poison check (state <> 'RELEASED')"


@dataclass
class Books:
    """A ledger of one shard, a connection to look at it, and the Redis that it follows."""

    ledger: Ledger
    db: "asyncpg.Connection[asyncpg.Record]"
    shard: FakeShard
    applied: int = 0

    async def apply(self, *values: bytes) -> Outcome:
        [outcome] = await self.ledger.apply([Record(0, offset, value) for offset, value in enumerate(values)])
        return outcome

    async def apply_commits(self, *commits: Made) -> Outcome:
        return await self.apply(record(0, list(commits)))

    async def apply_new(self) -> Outcome:
        """Apply what the shard did since the last time, in one run."""
        run, self.applied = self.shard.run(self.applied), len(self.shard.commits)
        return await self.apply(run)

    async def item(self, sku: str = "lamp") -> dict[str, int]:
        row = await self.db.fetchrow("select available, held, sold, refused from item where sku = $1", sku)
        assert row is not None
        return {account: units for account, units in row.items() if units}

    async def reservation(self, reservation_id: str) -> tuple[str, str, str | None] | None:
        row = await self.db.fetchrow(
            "select state, ledger_state, compensation_reason from reservation where reservation_id = $1", reservation_id
        )
        return tuple(row) if row else None

    async def letters(self) -> list[tuple[str, ...]]:
        rows = await self.db.fetch(
            "select reservation_id, reason, state, reservation_state from dead_letter order by 1, seq"
        )
        return [tuple(row) for row in rows]

    async def compensations_owed(self) -> int:
        return int(await self.db.fetchval("select count(*) from compensation where not done"))


@pytest.fixture
async def books(database: str) -> AsyncIterator[Books]:
    """A shard with a sale of 2,000 lamps, nothing applied yet."""
    async with connected(database) as db:
        await open_shards(db, [0])
        shard = FakeShard()
        shard.open_sale(lamp=2000)
        store = Database(database)
        books = Books(ledger_in(store), db, shard)
        yield books
        await store.close()
        assert await disagreements(db) == []


# Once, in order


async def test_a_history_is_booked(books: Books) -> None:
    """Rows, balances, transfers and the watermark move together."""
    books.shard.moves(("r-1", HELD), ("r-2", HELD), ("r-3", CONFIRMED), lamp=2)
    books.shard.moves(("r-1", CONFIRMED), ("r-2", RELEASED))

    outcome = await books.apply_new()

    assert (outcome.row.seq, outcome.row.hash, outcome.row.settled_seq) == (3, books.shard.hash, 3)
    assert await books.item() == {"available": 1996, "sold": 4}
    assert await books.reservation("r-1") == ("CONFIRMED", "RECORDED", None)
    journal = await books.db.fetch("select payload, hash from journal order by seq")
    assert [(row["payload"], row["hash"]) for row in journal] == [(c.payload, c.hash) for c in books.shard.commits]


async def test_repeats_and_overlaps_change_nothing(books: Books) -> None:
    """Promise 3: whatever comes twice, in whatever cut, is booked once; the answer is told again."""
    for number in range(6):
        books.shard.moves((f"r-{number}", HELD))
    run = books.shard.run
    first = await books.apply(run(0, 4))

    again = await books.apply(run(0, 4), run(1, 3), run(0, 4))
    straddled = await books.apply(run(2))

    assert again == first
    assert straddled.row.seq == 7
    assert await books.item() == {"available": 1994, "held": 6}


async def test_a_gap_is_not_applied_but_asked_for(books: Books) -> None:
    """A missing commit is never passed over; the wish names what is missing."""
    for number in range(4):
        books.shard.moves((f"r-{number}", HELD))
    await books.apply(books.shard.run(0, 2))

    gap = await books.apply(books.shard.run(3))
    mended = await books.apply(books.shard.run(2))

    assert (gap.row.seq, gap.resend_from_seq) == (2, 3)
    assert (mended.row.seq, mended.resend_from_seq) == (5, 0)


@pytest.mark.parametrize("alter", ["payload", "hash"])
async def test_an_altered_commit_freezes_the_shard(books: Books, alter: str) -> None:
    """What is altered on the way is seen; what came before it is taken, and nothing after it."""
    books.shard.moves(("r-1", HELD))
    books.shard.moves(("r-2", HELD))
    values: dict[str, Any] = {"payload": CommitBody(time_ms=5).SerializeToString(), "hash": "f" * 40}
    sale, good, bad = books.shard.commits
    await books.apply_commits(sale, good, replace(bad, **{alter: values[alter]}))

    outcome = await books.apply_commits(sale, good, bad)

    assert outcome.row.seq == 2
    assert outcome.row.frozen_reason.startswith("CHAIN_BROKEN: ")


async def test_a_repeat_of_another_history_freezes_the_shard(books: Books) -> None:
    """The journal knows what it took."""
    await books.apply_new()

    outcome = await books.apply_commits(replace(books.shard.commits[0], hash="f" * 40))

    assert outcome.row.frozen_reason.startswith("HASH_DIFFERS: ")


async def test_a_newer_epoch_freezes_the_shard(books: Books) -> None:
    """The ledger is fenced before Redis opens an epoch, so this is another ledger's Redis."""
    outcome = await books.apply_commits(replace(books.shard.commits[0], epoch=2))

    assert outcome.row.frozen_reason.startswith("NEWER_EPOCH: ")


async def test_an_older_epoch_is_dropped_and_its_orphans_are_set_aside(books: Books) -> None:
    """An acknowledged order that the ledger will never hold must not vanish without a word; a repeat may."""
    books.shard.moves(("r-1", HELD))
    await books.apply(books.shard.run(0, 1))
    await books.db.execute("update shard_watermark set epoch = 2, seq = 0")

    for _ in range(2):
        outcome = await books.apply(books.shard.run())

    assert (outcome.row.epoch, outcome.row.seq, outcome.row.frozen_reason) == (2, 0, "")
    assert [row["payload"] for row in await books.db.fetch("select payload from set_aside")] == [
        books.shard.commits[1].payload
    ]


async def test_a_new_epoch_goes_on_from_the_same_hash(books: Books) -> None:
    """A take-over that adopts breaks no chain."""
    await books.apply_new()
    await books.db.execute("update shard_watermark set epoch = 2, seq = 0")
    books.shard.next_epoch()
    books.shard.moves(("r-1", HELD))

    outcome = await books.apply_new()

    assert (outcome.row.epoch, outcome.row.seq, outcome.row.frozen_reason) == (2, 1, "")
    assert (outcome.row.settled_epoch, outcome.row.settled_seq) == (2, 1)


async def test_two_persisters_at_once_apply_each_commit_once(books: Books, database: str) -> None:
    """After a rebalance the old one may still have a batch in hand."""
    for number in range(200):
        books.shard.moves((f"r-{number}", HELD))
    other = Database(database)
    records = [Record(0, offset, books.shard.run(offset * 10, offset * 10 + 20)) for offset in range(20)]

    await asyncio.gather(*(ledger.apply([one]) for one in records for ledger in (books.ledger, ledger_in(other))))
    outcome = await books.apply(books.shard.run())

    assert outcome.row.seq == 201
    assert await books.item() == {"available": 1800, "held": 200}
    await other.close()


# Bytes that make no sense


async def test_a_record_that_does_not_decode_is_set_aside_and_asked_for_again(books: Books) -> None:
    """It is a gap: nothing is compensated, and its resend mends it."""
    broken = await books.apply(b"\xff\xff\xff")
    mended = await books.apply_new()

    assert (broken.row.seq, broken.resend_from_seq) == (0, 1)
    assert mended.row.seq == 1
    assert await books.db.fetchval("select payload from set_aside") == b"\xff\xff\xff"


async def test_a_commit_that_was_written_unreadable_freezes_the_shard_when_it_comes_again(books: Books) -> None:
    """Its chain is valid, so no resend will ever mend it."""
    books.shard.seq += 1
    books.shard.append(b"\xff\xff")

    first = await books.apply(books.shard.run())
    second = await books.apply(books.shard.run())

    assert (first.row.seq, first.row.frozen_reason, first.resend_from_seq) == (1, "", 2)
    assert second.row.frozen_reason.startswith("UNREADABLE: ")


async def test_an_unknown_event_waits_for_a_newer_persister(books: Books) -> None:
    """It is no gap to ask for, nothing to freeze for, and nothing to compensate."""
    books.shard.commit(Event())
    books.shard.moves(("r-1", HELD))

    outcome = await books.apply_new()

    assert (outcome.row.seq, outcome.row.frozen_reason, outcome.resend_from_seq) == (1, "", 0)


# Refusals


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("later", "ended"),
    [([], False), ([CONFIRMED], False), ([RELEASED], True), ([CONFIRMED, COMPENSATED], True), ([COMPENSATED], True)],
)
async def test_one_poison_order_among_a_thousand_good_ones(
    books: Books, later: list[int], ended: bool, cut: bool
) -> None:
    """Promise 5's other half: exactly the bad order is refused, and its units go back once, whenever they go."""
    await books.db.execute(POISON)
    for first in range(0, 1000, 100):
        books.shard.moves(*((f"r-{number}", HELD) for number in range(first, first + 100)))
        if first == 500:
            books.shard.moves(("poison", HELD), buyer="b-2")
    if cut:
        await books.apply_new()
    for state in later:
        books.shard.moves(("poison", state))
    if later or not cut:
        await books.apply_new()

    assert await books.item() == {"available": 1000, "held": 1000} | ({} if ended else {"available": 999, "refused": 1})
    ends: dict[int, str] = {CONFIRMED: "CONFIRMED", RELEASED: "RELEASED", COMPENSATED: "COMPENSATED"}
    end = ends[later[-1]] if later else "HELD"
    assert await books.letters() == [("poison", "CONSTRAINT_VIOLATED", "SETTLED" if ended else "OPEN", end)]
    assert await books.compensations_owed() == (0 if ended else 1)
    assert await books.db.fetchval("select count(*) from reservation where ledger_state = 'RECORDED'") == 1000


async def test_settled_stays_below_an_open_refusal_and_never_falls(books: Books) -> None:
    """RECORDED rests on it, and so does what may leave Redis."""
    await books.db.execute(POISON)
    settled = []
    for moves in ([("r-1", HELD)], [("poison", HELD)], [("r-2", HELD)], [("poison", COMPENSATED)]):
        books.shard.moves(*moves)
        settled.append((await books.apply_new()).row.settled_seq)

    assert settled == [2, 2, 2, 5]


async def test_an_order_refused_at_its_confirm_keeps_its_row_until_it_ends(books: Books) -> None:
    """The hold was the ledger's; its units lie in refused until the compensation is seen."""
    await books.db.execute(POISON_CONFIRM)
    books.shard.moves(("poison", HELD), ("r-1", HELD))
    await books.apply_new()
    books.shard.moves(("poison", CONFIRMED), ("r-1", CONFIRMED))
    await books.apply_new()
    refused = await books.item(), await books.reservation("poison"), await books.letters()
    books.shard.moves(("poison", COMPENSATED))
    await books.apply_new()

    assert refused == (
        {"available": 1998, "sold": 1, "refused": 1},
        ("HELD", "REFUSED", "CONSTRAINT_VIOLATED"),
        [("poison", "CONSTRAINT_VIOLATED", "OPEN", "CONFIRMED")],
    )
    assert await books.item() == {"available": 1999, "sold": 1}
    assert await books.reservation("poison") == ("COMPENSATED", "REFUSED", "CONSTRAINT_VIOLATED")
    assert await books.letters() == [("poison", "CONSTRAINT_VIOLATED", "SETTLED", "COMPENSATED")]


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
@pytest.mark.parametrize(
    ("forbidden", "states", "row", "letter", "units", "frozen_reason"),
    [
        (
            "state = 'CONFIRMED'",
            [HELD, CONFIRMED],
            ("HELD", "REFUSED", "CONSTRAINT_VIOLATED"),
            ("poison", "CONSTRAINT_VIOLATED", "OPEN", "CONFIRMED"),
            {"available": 1999, "refused": 1},
            "",
        ),
        ("state = 'RELEASED'", [HELD, RELEASED], ("HELD", "RECORDED", None), None, HELD_ONE, "GIVE_BACK_REFUSED"),
        (
            "state = 'RETURNED'",
            [CONFIRMED, RETURNED],
            ("CONFIRMED", "RECORDED", None),
            None,
            SOLD_ONE,
            "GIVE_BACK_REFUSED",
        ),
        ("revision = 2", [HELD, HELD], ("HELD", "RECORDED", None), None, HELD_ONE, "GIVE_BACK_REFUSED"),
    ],
    ids=["confirmed", "released", "returned", "extended"],
)
async def test_the_step_that_breaks_is_blamed_however_a_history_is_cut(
    books: Books,
    cut: bool,
    forbidden: str,
    states: list[int],
    row: tuple[str, str, str | None],
    letter: tuple[str, ...] | None,
    units: dict[str, int],
    frozen_reason: str,
) -> None:
    """What came before it stands: an order is not refused at its making for what became of it later."""
    await books.db.execute(f"alter table reservation add constraint poison check (not ({forbidden}))")
    await books.apply_new()
    for state in states:
        books.shard.moves(("poison", state))
        if cut:
            outcome = await books.apply_new()
    if not cut:
        outcome = await books.apply_new()

    assert outcome.row.frozen_reason.partition(":")[0] == frozen_reason
    assert await books.reservation("poison") == row
    assert await books.letters() == ([letter] if letter else [])
    assert await books.item() == units


async def test_a_blocked_buyer_is_refused_at_the_making_and_at_the_confirm(books: Books) -> None:
    """A hold made before the block is refused when it is confirmed; a release is not."""
    books.shard.moves(("early", HELD), ("other", HELD), buyer="crook")
    await books.apply_new()
    await books.db.execute("insert into blocked_buyer (tenant, buyer_id, reason) values ($1, 'crook', 'fraud')", TENANT)
    books.shard.moves(("late", HELD), ("bought", CONFIRMED), buyer="crook")
    books.shard.moves(("early", CONFIRMED), ("other", RELEASED), ("good", HELD))
    await books.apply_new()

    assert await books.letters() == [
        ("bought", "BUYER_BLOCKED", "OPEN", "CONFIRMED"),
        ("early", "BUYER_BLOCKED", "OPEN", "CONFIRMED"),
        ("late", "BUYER_BLOCKED", "OPEN", "HELD"),
    ]
    assert await books.item() == {"available": 1996, "held": 1, "refused": 3}
    assert await books.reservation("late") is None
    books.shard.moves(("late", COMPENSATED), ("early", COMPENSATED), ("bought", COMPENSATED))
    await books.apply_new()
    assert await books.reservation("late") == ("COMPENSATED", "REFUSED", "BUYER_BLOCKED")
    assert await books.item() == {"available": 1999, "held": 1}
    assert await books.compensations_owed() == 0


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
async def test_a_reused_id_is_refused_and_the_first_order_stands(books: Books, cut: bool) -> None:
    """Redis forgets, the ledger does not; what the second one holds goes back by its own position."""
    books.shard.moves(("r-1", CONFIRMED))
    books.shard.forget("r-1")
    if cut:
        await books.apply_new()
    books.shard.moves(("r-1", HELD), buyer="b-2", lamp=3)
    await books.apply_new()
    refused = await books.item(), await books.letters()
    books.shard.moves(("r-1", COMPENSATED))
    await books.apply_new()

    assert refused == (
        {"available": 1996, "sold": 1, "refused": 3},
        [("r-1", "ID_REUSED", "OPEN", "HELD")],
    )
    assert await books.reservation("r-1") == ("CONFIRMED", "RECORDED", None)
    assert await books.item() == {"available": 1999, "sold": 1}
    assert await books.letters() == [("r-1", "ID_REUSED", "SETTLED", "COMPENSATED")]


async def test_a_reused_spent_id_is_born_settled(books: Books) -> None:
    """It holds nothing, so nobody is told to give it back."""
    books.shard.moves(("r-1", CONFIRMED))
    books.shard.forget("r-1")
    await books.apply_new()
    books.shard.spend("r-1")
    await books.apply_new()

    assert await books.letters() == [("r-1", "ID_REUSED", "SETTLED", "RELEASED")]
    assert await books.db.fetchval("select count(*) from compensation") == 0
    assert await books.item() == {"available": 1999, "sold": 1}


# Contradictions


async def test_a_give_back_that_fails_for_good_freezes_the_shard(books: Books) -> None:
    """It can be blamed on nobody; what came before it in the same run is taken."""
    await books.db.execute(POISON_END)
    books.shard.moves(("r-1", HELD))
    books.shard.moves(("r-2", HELD))
    books.shard.moves(("r-1", RELEASED))
    await books.apply(books.shard.run(0, 2))

    outcome = await books.apply(books.shard.run(2))

    assert outcome.row.seq == 3
    assert outcome.row.frozen_reason.startswith("GIVE_BACK_REFUSED: ")
    assert await books.letters() == []


async def test_a_negative_balance_freezes_the_shard(books: Books) -> None:
    """More was sold than there was: no order is to blame for that, and none is compensated."""
    books.shard.moves(("r-1", HELD), lamp=2000)
    books.shard.moves(("r-2", HELD), lamp=1)

    outcome = await books.apply_new()

    assert outcome.row.seq == 2
    assert outcome.row.frozen_reason.startswith("NEGATIVE_BALANCE: ")
    assert await books.letters() == []


async def test_an_item_that_is_not_there_freezes_the_shard(books: Books) -> None:
    """Its units would be booked nowhere."""
    books.shard.moves(("r-1", HELD), sofa=1)

    outcome = await books.apply_new()

    assert (outcome.row.seq, outcome.row.frozen_reason) == (
        1,
        f"NEGATIVE_BALANCE: there is no item sofa in sale {SALE}",
    )


# What Postgres takes from nobody


async def test_a_commit_that_the_journal_has_already_freezes_its_shard_alone(books: Books) -> None:
    """A ledger that was restored or mended in part; the other shards go on, and so does the persister."""
    await open_shards(books.db, [1])
    other = FakeShard(shard=1)
    other.open_sale("sofa-sale", sofa=1)
    books.shard.moves(("r-1", HELD))
    books.shard.moves(("r-2", HELD))
    await books.db.execute("insert into journal (shard, epoch, seq, hash, payload) values (0, 1, 3, '', '')")

    stuck, gone_on = await books.ledger.apply([Record(0, 0, books.shard.run()), Record(1, 0, other.run())])

    assert (stuck.row.seq, stuck.resend_from_seq) == (2, 0)
    assert stuck.row.frozen_reason.startswith("LEDGER_BROKEN: duplicate key value violates unique constraint")
    assert (gone_on.row.seq, gone_on.row.frozen_reason) == (1, "")
    await books.db.execute("delete from journal where shard = 0 and seq = 3")


async def test_bytes_that_cannot_even_be_set_aside_freeze_the_shard(books: Books) -> None:
    """They would be acknowledged, and nobody could look at them."""
    await books.apply_new()
    await books.db.execute("alter table set_aside add constraint full_up check (false)")

    outcome = await books.apply(b"\xff\xff\xff")

    assert (outcome.row.seq, outcome.resend_from_seq) == (1, 0)
    assert outcome.row.frozen_reason.startswith("LEDGER_BROKEN: ")


async def test_a_run_whose_commits_stand_nowhere_is_set_aside(books: Books) -> None:
    """Its positions are more than the ledger can count, and none of its business."""
    nowhere = record(0, [Made(0, 2**63 - 1, b"", ""), Made(0, 2**63 - 1, b"", "")])

    broken = await books.apply(nowhere)
    mended = await books.apply_new()

    assert (broken.row.seq, broken.row.frozen_reason, broken.resend_from_seq) == (0, "", 1)
    assert (mended.row.seq, mended.row.frozen_reason) == (1, "")
    assert await books.db.fetchval("select payload from set_aside") == nowhere


# Outages


async def test_postgres_away_is_waited_out(start_postgres: StartPostgres) -> None:
    """Promise 5: stopped under way and for longer than any deadline, it costs nothing but time."""
    server = start_postgres()
    await migrate(server.address)
    async with connected(server.address) as db:
        await open_shards(db, [0])
    database = Database(server.address)
    registry, shard = CollectorRegistry(), FakeShard()
    ledger = ledger_in(database, registry)
    shard.open_sale(lamp=10)
    await ledger.apply([Record(0, 0, shard.run())])
    server.stop()
    shard.moves(("r-1", HELD))

    applying = asyncio.ensure_future(ledger.apply([Record(0, 1, shard.run())]))
    await eventually(lambda: waits(registry, "postgres") > 1)
    assert not applying.done()
    server.start()
    [outcome] = await asyncio.wait_for(applying, 20)

    assert outcome.row.seq == 2
    async with connected(server.address) as db:
        assert await db.fetchval("select count(*) from dead_letter") == 0
        assert await disagreements(db) == []
    await database.close()


async def test_a_connection_that_is_cut_in_the_middle_is_waited_out(books: Books, database: str) -> None:
    """The transaction is rolled back and done again."""
    books.shard.moves(("r-1", HELD))
    async with connected(database) as rival:
        async with rival.transaction():
            await rival.execute("select * from shard_watermark for update")
            applying = asyncio.ensure_future(books.apply_new())
            waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            pid = await eventually(lambda: books.db.fetchval(waiting))
            await books.db.execute("select pg_terminate_backend($1)", pid)
        outcome = await applying

    assert outcome.row.seq == 2
    assert await books.letters() == []


async def test_ten_migrations_at_once_run_each_change_once(empty_database: str) -> None:
    """Ten processes of a deploy start at the same moment."""
    ran = await asyncio.gather(*(migrate(empty_database) for _ in range(10)))

    everything = [migration.name for migration in migrations()]
    assert list(filter(None, ran)) == [everything]
    async with connected(empty_database) as db:
        assert await db.fetchval("select count(*) from migration") == len(everything)
