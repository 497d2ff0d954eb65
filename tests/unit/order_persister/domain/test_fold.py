"""A run of commits, folded into transfers, final rows, dead letters and facts."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import ReservationFact
from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from bench.commits import COMPENSATED, CONFIRMED, EXPIRED, HELD, RELEASED, RETURNED, SALE, TENANT, FakeShard, MadeCommit
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.facts import JournalCommit, RefusedAt, facts_from
from order_persister.domain.fold import (
    EARLIER_RUN,
    Created,
    DeadLetter,
    Entry,
    Order,
    Refusal,
    dead_letter_updates_from,
    dead_letters_from,
    deltas_from,
    entries_from_orders,
    entries_from_sales,
    first_confirm,
    orders_from,
    sales_from,
)
from order_persister.domain.refusals import Block, refusal_for_reused_id, refusals_before_writing
from order_persister.domain.rows import ReservationRow, final_rows, lines_from

BLOCKED = CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED
AT_CREATION = Refusal(0, BLOCKED, "blocked", at_creation=True)
AT_CONFIRM = Refusal(1, BLOCKED, "blocked", at_creation=False)


def accepted(commits: list[MadeCommit]) -> list[AcceptedCommit]:
    return [AcceptedCommit(c.epoch, c.seq, c.payload, c.hash, CommitBody.FromString(c.payload)) for c in commits]


def transfers(shard: FakeShard, refusal: Refusal | None = None) -> list[tuple[str, str, int]]:
    orders = orders_from(accepted(shard.commits))
    refusals = dict.fromkeys(orders, refusal) if refusal else {}
    return [(e.from_account, e.to_account, e.quantity) for e in entries_from_orders(orders.values(), refusals)]


MOVES = [
    ([HELD], ["available>held"]),
    ([CONFIRMED], ["available>sold"]),
    ([RELEASED], []),
    ([HELD, HELD], ["available>held"]),
    ([HELD, CONFIRMED], ["available>held", "held>sold"]),
    ([HELD, RELEASED], ["available>held", "held>available"]),
    ([HELD, EXPIRED], ["available>held", "held>available"]),
    ([HELD, CONFIRMED, RETURNED], ["available>held", "held>sold", "sold>available"]),
    ([HELD, CONFIRMED, COMPENSATED], ["available>held", "held>sold", "sold>available"]),
]
REFUSED_AT_CREATION = [
    ([HELD], ["available>refused"]),
    ([CONFIRMED], ["available>refused"]),
    ([HELD, CONFIRMED], ["available>refused"]),
    ([HELD, CONFIRMED, COMPENSATED], ["available>refused", "refused>available"]),
    ([HELD, RELEASED], ["available>refused", "refused>available"]),
    ([HELD, EXPIRED], ["available>refused", "refused>available"]),
    ([RELEASED], []),
]
REFUSED_AT_CONFIRM = [
    ([HELD, CONFIRMED], ["available>held", "held>refused"]),
    ([HELD, CONFIRMED, COMPENSATED], ["available>held", "held>refused", "refused>available"]),
    ([HELD, CONFIRMED, RETURNED], ["available>held", "held>refused", "refused>available"]),
]


@pytest.mark.parametrize(
    ("refusal", "states", "expected"),
    [
        *((None, *case) for case in MOVES),
        *((AT_CREATION, *case) for case in REFUSED_AT_CREATION),
        *((AT_CONFIRM, *case) for case in REFUSED_AT_CONFIRM),
    ],
)
def test_an_order_moves_its_units_between_accounts(
    refusal: Refusal | None, states: list[int], expected: list[str]
) -> None:
    """Each step is one transfer a line; the units of a refused order move only back to available."""
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state), lamp=2)

    assert transfers(shard, refusal) == [(*move.split(">"), 2) for move in expected]


def test_new_stock_comes_from_the_external_account() -> None:
    """An item without units has no transfer, because a transfer has a quantity."""
    shard = FakeShard()
    shard.open_sale(bulb=0, lamp=5)

    [entry] = entries_from_sales(sales_from(accepted(shard.commits)))

    assert entry == Entry(1, 1, 0, 1, TENANT, SALE, "lamp", None, "external", "available", 5)


def test_deltas_sum_the_transfers_of_an_item() -> None:
    """One statement updates the balances of a run, however often units moved in it."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), ("r-2", HELD), lamp=2)
    shard.moves(("r-1", CONFIRMED), ("r-2", EXPIRED))

    deltas = deltas_from(entries_from_orders(orders_from(accepted(shard.commits)).values(), {}))

    assert deltas == {(TENANT, SALE, "lamp"): {"available": -2, "held": 0, "sold": 2}}


def test_the_final_row_has_the_positions_of_the_creation_and_of_the_latest_change() -> None:
    """An order that a run creates and confirms is one row, inserted as confirmed."""
    shard = FakeShard()
    shard.moves(("r-0", HELD))
    shard.moves(("r-1", HELD), ("r-2", HELD), bulb=1, lamp=2)
    shard.moves(("r-2", CONFIRMED))
    orders = orders_from(accepted(shard.commits[1:]))

    rows = final_rows(orders.values(), {})

    assert [(row.reservation_id, row.state, row.revision) for row in rows.new] == [
        ("r-1", "HELD", 1),
        ("r-2", "CONFIRMED", 2),
    ]
    confirmed = rows.new[1]
    assert (confirmed.created, (confirmed.epoch, confirmed.seq, confirmed.index)) == (Created(1, 2, 1), (1, 3, 0))
    assert [line[3:] for line in lines_from([confirmed], orders)] == [("bulb", 1, 1, 0, 1), ("lamp", 2, 2, 0, 2)]


def test_an_order_refused_at_its_creation_has_no_row_until_it_ends() -> None:
    """While its dead letter is open the order has no row; afterwards the row has its last state."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    orders = orders_from(accepted(shard.commits))
    assert final_rows(orders.values(), dict.fromkeys(orders, AT_CREATION)) == final_rows([], {})

    shard.moves(("r-1", COMPENSATED))
    orders = orders_from(accepted(shard.commits))
    rows = final_rows(orders.values(), dict.fromkeys(orders, AT_CREATION))

    assert rows.new == []
    [row] = rows.refused_ended
    assert (row.state, row.ledger_state, row.compensation_reason) == ("COMPENSATED", "REFUSED", "BUYER_BLOCKED")


def test_the_dead_letter_of_a_spent_id_is_settled_at_once() -> None:
    """It has no units, so none are given back."""
    shard = FakeShard()
    shard.spend("r-1")
    orders = orders_from(accepted(shard.commits))

    [dead_letter] = dead_letters_from(orders.values(), dict.fromkeys(orders, refusal_for_reused_id()))

    assert dead_letter.reservation_state == "RELEASED"
    assert not dead_letter.is_open
    assert not dead_letter.needs_compensation


def test_a_note_with_a_nul_refuses_no_order() -> None:
    """Postgres rejects NUL in a text, and a caller's text must never freeze a shard."""
    shard = FakeShard()
    shard.moves(("r-1", HELD))
    orders = orders_from(accepted(shard.commits))
    next(iter(orders.values())).steps[0].change.note = "a\0b"

    assert final_rows(orders.values(), {}).new[0].note == "a\N{REPLACEMENT CHARACTER}b"


def test_facts_are_refused_from_the_refused_change_on() -> None:
    """Earlier changes stay recorded."""
    shard = FakeShard()
    for state in (HELD, CONFIRMED, COMPENSATED):
        shard.moves(("r-1", state))
    commits = [JournalCommit(c.epoch, c.seq, c.body) for c in accepted(shard.commits)]

    facts = [fact_of(fact.value) for fact in facts_from(0, commits, {Created(1, 1, 0): RefusedAt(1, 2, 0, BLOCKED)})]

    assert [fact.reservation.ledger_state for fact in facts] == [2, 3, 3]
    assert [fact.reservation.compensation_reason for fact in facts] == [0, BLOCKED, BLOCKED]
    assert [(fact.position.seq, fact.previous_state) for fact in facts] == [(1, 0), (2, HELD), (3, CONFIRMED)]
    assert [fact.reservation.lines[0].confirmed_quantity for fact in facts] == [0, 1, 0]


@pytest.mark.parametrize("end", [RELEASED, EXPIRED])
def test_a_refused_order_that_ends_before_its_compensation_is_recorded_again(end: int) -> None:
    """As reads tell it: the ledger holds that end, and nothing is left to compensate. The reason stays."""
    shard = FakeShard()
    for state in (HELD, end):
        shard.moves(("r-1", state))
    commits = [JournalCommit(c.epoch, c.seq, c.body) for c in accepted(shard.commits)]

    facts = [fact_of(fact.value) for fact in facts_from(0, commits, {Created(1, 1, 0): RefusedAt(1, 1, 0, BLOCKED)})]

    assert [fact.reservation.ledger_state for fact in facts] == [3, 2]
    assert [fact.reservation.compensation_reason for fact in facts] == [BLOCKED, BLOCKED]


@pytest.mark.parametrize(
    ("states", "moved"),
    [
        ([HELD, CONFIRMED, RETURNED], [(1, 0), (-1, 1), (0, -1)]),
        ([HELD, RELEASED], [(1, 0), (-1, 0)]),
        ([HELD, EXPIRED], [(1, 0), (-1, 0)]),
        ([CONFIRMED, COMPENSATED], [(0, 1), (0, -1)]),
    ],
)
def test_a_fact_has_the_units_that_its_change_moved(states: list[int], moved: list[tuple[int, int]]) -> None:
    """Summed up they are what is held and sold of each item, whether or not the ledger refused an order."""
    shard = FakeShard()
    for state in states:
        shard.moves(("r-1", state), lamp=1, shade=3)
    commits = [JournalCommit(c.epoch, c.seq, c.body) for c in accepted(shard.commits)]

    facts = [fact_of(fact.value) for fact in facts_from(0, commits, {Created(1, 1, 0): RefusedAt(1, 2, 0, BLOCKED)})]

    for fact, (held, sold) in zip(facts, moved, strict=True):
        assert [(each.sku, each.held, each.sold, each.total) for each in fact.moved] == [
            ("lamp", held, sold, 0),
            ("shade", 3 * held, 3 * sold, 0),
        ]


def test_a_spent_id_moves_nothing() -> None:
    """It has no lines."""
    shard = FakeShard()
    shard.spend("r-1")
    [commit] = accepted(shard.commits)

    [fact] = facts_from(0, [JournalCommit(commit.epoch, commit.seq, commit.body)], {})

    assert not fact_of(fact.value).moved


def test_a_fact_has_the_reference_of_its_reserve() -> None:
    """A consumer knows the order of the shop that a fact is about."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), reference="cart-7")
    [commit] = accepted(shard.commits)

    [fact] = facts_from(0, [JournalCommit(commit.epoch, commit.seq, commit.body)], {})

    assert fact_of(fact.value).reservation.reference == "cart-7"


def fact_of(value: bytes) -> ReservationFact:
    return ReservationFact.FromString(value)


@dataclass
class InMemoryLedger:
    """Stores the results of the pure functions, as Postgres does. Some confirms and the buyer `blocked` are refused."""

    bad_confirms: frozenset[str]
    rows: dict[tuple[str, str, str], ReservationRow] = field(default_factory=dict)
    entries: Counter[Entry] = field(default_factory=Counter)
    dead_letters: dict[Created, DeadLetter] = field(default_factory=dict)

    def apply(self, run: list[AcceptedCommit]) -> None:
        orders = orders_from(run)
        refusals = self._refusals(orders)
        rows = final_rows(orders.values(), refusals)
        for row in [*rows.new, *rows.changed]:
            self.rows[row[:3]] = row
        for refused in rows.refused_confirms:
            row, reason = self.rows[refused[:3]], refused.compensation_reason
            self.rows[refused[:3]] = row._replace(ledger_state="REFUSED", compensation_reason=reason)
        for row in rows.refused_ended:
            self.rows.setdefault(row[:3], row)
        self.entries.update(entries_from_orders(orders.values(), refusals))
        for one in dead_letters_from(orders.values(), refusals):
            self.dead_letters[Created(*one[:3])] = one._replace(lines=[])
        for update in dead_letter_updates_from(orders.values(), refusals):
            created = Created(*update[:3])
            self.dead_letters[created] = self.dead_letters[created]._replace(**update._asdict())

    def _refusals(self, orders: dict[Created, Order]) -> dict[Created, Refusal]:
        earlier = {
            created: Refusal(EARLIER_RUN, BLOCKED, one.detail, one[10:13] == created)
            for created, one in self.dead_letters.items()
            if one.is_open
        }
        refusals = refusals_before_writing(orders.values(), earlier, {(TENANT, "blocked"): Block(0, "fraud")})
        for created, order in orders.items():
            known = self.rows.get(order.key)
            confirm = first_confirm(order.steps)
            if created in refusals:
                continue
            if order.is_new and known is not None and known.created != created:
                refusals[created] = refusal_for_reused_id()
            elif not order.is_new and confirm is not None and order.reservation_id in self.bad_confirms:
                refusals[created] = Refusal(confirm, BLOCKED, "broken", at_creation=False)
        return refusals


IDS = ["r-0", "r-1", "r-2", "r-3", "new-0", "new-1"]
NEXT_STATES = {
    0: [HELD, CONFIRMED],
    HELD: [CONFIRMED, RELEASED, EXPIRED, COMPENSATED],
    CONFIRMED: [COMPENSATED, RETURNED],
}


@pytest.mark.parametrize("seed", range(100))
def test_folding_a_run_at_once_equals_folding_it_commit_by_commit(seed: int) -> None:
    """The size of Kafka's batches is chance and must not change the ledger."""
    choose = random.Random(seed)
    bad_confirms = frozenset(choose.sample(IDS[:4], choose.randint(0, 4)))
    blocked = choose.sample(IDS, choose.randint(0, 6))
    shard = FakeShard()
    for reservation_id in IDS[:4]:
        shard.moves((reservation_id, HELD), buyer="good")
    at_once, one_by_one = InMemoryLedger(bad_confirms), InMemoryLedger(bad_confirms)
    for ledger in (at_once, one_by_one):
        ledger.apply(accepted(shard.commits))
    before = len(shard.commits)
    for reservation_id in choose.choices(IDS, k=choose.randint(1, 30)):
        make_any_move(shard, reservation_id, choose, "blocked" if reservation_id in blocked else "good")

    run = accepted(shard.commits[before:])
    at_once.apply(run)
    for commit in run:
        one_by_one.apply([commit])

    assert at_once == one_by_one


def make_any_move(shard: FakeShard, reservation_id: str, choose: random.Random, buyer: str) -> None:
    """Move a reservation to a state that may follow, or perhaps archive one that has ended."""
    known = shard.known.get(reservation_id)
    states = NEXT_STATES.get(known.state if known else 0, [])
    if states:
        shard.moves((reservation_id, choose.choice(states)), buyer=buyer)
    elif choose.random() < 0.5:
        shard.archive(reservation_id)
