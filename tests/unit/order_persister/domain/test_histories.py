"""Random histories of a sale: however they are cut into runs, the ledger comes to the same books, which are Redis'."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from holdfast.inventory.v1.events_pb2 import ReservationFact, SaleFact

from bench.commits import SALE, TENANT
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.changes import Created
from order_persister.domain.dead_letters import DeadLetter, dead_letter_updates_from, dead_letters_from
from order_persister.domain.facts import order_facts
from order_persister.domain.fold import EARLIER_RUN, Order, Refusal, first_confirm, orders_from
from order_persister.domain.refusals import VIOLATED, Block, refusal_for_reused_id, refusals_before_writing
from order_persister.domain.rows import ReservationRow, final_rows
from order_persister.domain.sale_facts import sale_facts
from order_persister.domain.sales import AdjustmentRow, LeftRow, SaleChangeRow, SettingsRow, sale_rows_from
from order_persister.domain.transfers import ACCOUNTS, EXTERNAL, Entry, deltas_from, entries_from_orders
from tests.sale_histories import REFUSED_BUYER, SaleHistory, is_poison
from tests.unit.order_persister.domain.runs import accepted, journal

Key = tuple[str, str, str]


@dataclass
class InMemoryLedger:
    """Stores the results of the pure functions, as Postgres does; refuses a buyer's orders, and confirms of poison."""

    blocks: dict[tuple[str, str], Block]
    reservations: dict[Key, ReservationRow] = field(default_factory=dict)
    lines: dict[tuple[str, ...], tuple[int, ...]] = field(default_factory=dict)
    entries: Counter[Entry] = field(default_factory=Counter)
    balances: dict[Key, Counter[str]] = field(default_factory=dict)
    dead_letters: dict[Created, DeadLetter] = field(default_factory=dict)
    settings: dict[tuple[str, str], SettingsRow] = field(default_factory=dict)
    kept: set[SaleChangeRow | AdjustmentRow | LeftRow] = field(default_factory=set)

    def apply(self, run: list[AcceptedCommit]) -> None:
        orders = orders_from(run)
        refusals = self._refusals(orders)
        self._write_sales(run)
        self._write_orders(orders, refusals)
        for one in dead_letters_from(orders.values(), refusals):
            self.dead_letters[Created(*one[:3])] = one
        for update in dead_letter_updates_from(orders.values(), refusals):
            created = Created(*update[:3])
            self.dead_letters[created] = self.dead_letters[created]._replace(latest=update)

    def open_orders(self) -> set[tuple[int, int, int]]:
        """The refused orders that still have units, by their creation."""
        return {created for created, letter in self.dead_letters.items() if letter.latest.is_open}

    def sums(self, sku: str) -> dict[str, int]:
        """What the rows and the dead letters of an item add up to, which are its balances."""
        sums = Counter[str]()
        for (*key, line_sku), (claimed, sold, came_back, _) in self.lines.items():
            row = self.reservations[key[0], key[1], key[2]]
            if line_sku == sku and row.ledger_state == "RECORDED":
                sums["held"] += claimed * (row.state == "HELD")
                sums["sold"] += (sold - came_back) * (row.state == "CONFIRMED")
        for letter in self.dead_letters.values():
            sums["refused"] += dict(letter.latest.outstanding).get(sku, 0)
        return {account: sums[account] for account in ("held", "sold", "refused")}

    def _write_sales(self, run: list[AcceptedCommit]) -> None:
        rows = sale_rows_from(run)
        self.settings |= rows.settings
        self.kept |= {*rows.changes, *rows.adjustments, *rows.left}
        for item in rows.items:
            self.balances[item[:3]] = Counter(available=item.total, external=-item.total)
        self._move(rows.entries_of_adjustments)
        self.entries.update(rows.entries_of_items)

    def _write_orders(self, orders: dict[Created, Order], refusals: dict[Created, Refusal]) -> None:
        rows = final_rows(orders.values(), refusals)
        for row in [*rows.new, *rows.changed, *rows.refused_ended]:
            if row in rows.refused_ended and row[:3] in self.reservations:
                continue
            self.reservations[row[:3]] = row._replace(lines=[])
            for line in row.lines:
                known = self.lines.get(line[:4], line[4:])
                self.lines[line[:4]] = (*line[4:7], known[3])
        self.lines = {key: counts for key, counts in self.lines.items() if any(counts)}  # none says the same as zeros
        for refused in rows.refused_confirms:
            row, reason = self.reservations[refused[:3]], refused.compensation_reason
            self.reservations[refused[:3]] = row._replace(ledger_state="REFUSED", compensation_reason=reason)
        self._move(list(entries_from_orders(orders.values(), refusals)))

    def _move(self, entries: list[Entry]) -> None:
        self.entries.update(entries)
        for item, delta in deltas_from(entries).items():
            self.balances[item].update(delta)

    def _refusals(self, orders: dict[Created, Order]) -> dict[Created, Refusal]:
        earlier = {
            created: Refusal(EARLIER_RUN, one.reason, one.detail, one[9:12] == created)
            for created, one in self.dead_letters.items()
            if one.latest.is_open
        }
        refusals = refusals_before_writing(orders.values(), earlier, self.blocks)
        for created, order in orders.items():
            known, confirm = self.reservations.get(order.key), first_confirm(order.steps)
            if created in refusals:
                continue
            if order.is_new and known is not None and known.created != created:
                refusals[created] = refusal_for_reused_id()
            elif confirm is not None and is_poison(order.claim.reservation_id):
                refusals[created] = Refusal(confirm, VIOLATED, "broken", at_creation=False)
        return refusals


def test_a_history_comes_to_the_same_books_however_it_is_cut() -> None:
    """The size of Kafka's batches is chance and must not change the ledger; its books are those of Redis."""
    for seed in range(60):
        assert_comes_to_the_same_books(seed)


def assert_comes_to_the_same_books(seed: int) -> None:
    """One by one, at once, and cut by chance."""
    random = Random(seed)
    history, blocked_at_ms = SaleHistory(random), random.randint(1, 60)
    blocks = {(TENANT, REFUSED_BUYER): Block(history.shard.time_ms + blocked_at_ms, "fraud")}
    one_by_one, at_once, by_chance = (InMemoryLedger(blocks) for _ in range(3))
    for made in history.commits(random.randint(5, 80)):
        one_by_one.apply(accepted([made]))
        history.refused = one_by_one.open_orders()

    run = accepted(history.shard.commits)
    at_once.apply(run)
    cuts = sorted(random.sample(range(len(run) + 1), k=min(5, len(run))))
    for first, last in zip([0, *cuts], [*cuts, len(run)], strict=True):
        by_chance.apply(run[first:last])

    assert at_once == one_by_one
    assert by_chance == one_by_one
    for sku, (total, taken) in history.stock().items():
        balances = at_once.balances[TENANT, SALE, sku]
        assert (-balances[EXTERNAL], balances["available"]) == (total, total - taken)
        assert {account: balances[account] for account in ACCOUNTS[1:]} == at_once.sums(sku)


def test_the_facts_of_a_history_add_up_to_its_stock() -> None:
    """A consumer that sums what was moved, and what adjustments and new items brought, has each item's numbers."""
    for seed in range(20):
        assert_facts_add_up(seed)


def assert_facts_add_up(seed: int) -> None:
    history = SaleHistory(Random(seed))
    assert len(list(history.commits(60))) > 10

    numbers = {sku: Counter[str]() for sku in history.totals}
    for fact in order_facts(0, journal(history.shard), {}):
        message = ReservationFact.FromString(fact.value)
        assert fact.value == message.SerializeToString(), "as protobuf itself would write it"
        for moved in message.moved:
            numbers[moved.sku].update(held=moved.held, sold=moved.sold, total=moved.total)
    for fact in sale_facts(0, journal(history.shard)):
        change = SaleFact.FromString(fact.value)
        for item in (*change.made.items, *change.settings.sale.items):
            numbers[item.sku].update(total=item.total)
        if change.HasField("adjusted"):
            numbers[change.adjusted.sku].update(total=change.adjusted.delta)

    found = {sku: (each["total"], each["held"] + each["sold"]) for sku, each in numbers.items()}
    assert found == history.stock()
