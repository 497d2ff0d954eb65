"""The rows, transfers and facts of sales, their settings and their stock."""

import pytest
from holdfast.inventory.v1.commit_pb2 import Event, SaleChanged, SaleLeft, SaleMade, StockAdjusted
from holdfast.inventory.v1.events_pb2 import SaleFact
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from bench.commits import CONFIRMED, HELD, SALE, START_MS, TENANT, FakeShard
from inventory_service.domain.sale import etag_of
from order_persister.domain.sale_facts import sale_facts
from order_persister.domain.sales import ItemRow, LeftRow, SaleChangeRow, SaleRows, sale_rows_from
from order_persister.domain.transfers import Entry
from tests.unit.order_persister.domain.runs import accepted, journal

SETTINGS = SaleChanged(
    tenant=TENANT, sale_id=SALE, title="Lamps", start_time_ms=START_MS, hold_ttl_ms=60_000, max_hold_ttl_ms=90_000,
    buyer_limit=5, attempts_per_minute=20, return_window_ms=7_000, reason="a flood", actor="olga",
)  # fmt: skip


def changed(**settings: object) -> Event:
    event = SaleChanged()
    event.CopyFrom(SETTINGS)
    added = settings.pop("added", [])
    for name, value in settings.items():
        setattr(event, name, value)
    event.added.extend(added)  # type: ignore[arg-type]
    return Event(sale_changed=event)


def adjusted(change: int, **fields: object) -> Event:
    event = StockAdjusted(tenant=TENANT, sale_id=SALE, adjustment_id="a-1", sku="lamp", reason="a count", actor="olga")
    event.change, event.total_after = change, 5 + change
    for name, value in fields.items():
        setattr(event, name, value)
    return Event(stock_adjusted=event)


def rows_of(shard: FakeShard) -> SaleRows:
    return sale_rows_from(accepted(shard.commits))


def facts_of(shard: FakeShard) -> list[SaleFact]:
    return [SaleFact.FromString(fact.value) for fact in sale_facts(3, journal(shard))]


def test_a_new_sale_has_its_items_and_their_units_come_from_outside() -> None:
    """An item without units has no transfer, because a transfer has a quantity."""
    shard = FakeShard()
    shard.open_sale(bulb=0, lamp=5)

    rows = rows_of(shard)

    [[made, _]] = rows.made
    assert (made.sale_id, made.max_hold_ttl_ms, made.etag_seq) == (SALE, made.hold_ttl_ms, 1)
    assert rows.items == [ItemRow(TENANT, SALE, "bulb", 0, 0), ItemRow(TENANT, SALE, "lamp", 5, 0)]
    assert rows.entries_of_items == [Entry(1, 1, 0, 0, TENANT, SALE, "lamp", None, "external", "available", 5)]


def test_the_last_settings_of_a_run_are_written_and_each_change_is_kept() -> None:
    """Every change has all settings, so none has to be read."""
    shard = FakeShard()
    shard.commit(changed(paused=True))
    shard.commit(changed(end_time_ms=START_MS + 9, reason="too late", actor=""))

    rows = rows_of(shard)

    [row] = rows.settings.values()
    assert (row.settings.end_time_ms, row.settings.attempts_per_minute) == (START_MS + 9, 20)
    assert row.settings[-5:] == (7_000, 1, 2, 0, shard.time_ms)  # the return window, the etag, the time
    assert (row.paused, row.close_time_ms, row.release_time_ms, row.release_reason) == (False, None, None, None)
    assert rows.changes == [
        SaleChangeRow(1, 1, 0, shard.time_ms - 1, TENANT, SALE, "a flood", "olga"),
        SaleChangeRow(1, 2, 0, shard.time_ms, TENANT, SALE, "too late", ""),
    ]


def test_a_close_that_releases_the_holds_has_the_reason_of_the_release() -> None:
    """Every hold that is taken back later gets it as its note."""
    shard = FakeShard()
    shard.commit(changed(close_time_ms=7, release_time_ms=8, reason="recalled\0"))

    [row] = rows_of(shard).settings.values()

    reason = "recalled\N{REPLACEMENT CHARACTER}"
    assert (row.close_time_ms, row.release_time_ms, row.release_reason) == (7, 8, reason)


def test_items_can_be_added() -> None:
    """Their rows are written with their units, so these transfers are apart from those that change balances."""
    shard = FakeShard()
    shard.commit(changed(added=[Item(sku="wire"), Item(sku="bulb", total=4, buyer_limit=2)]))

    rows = rows_of(shard)

    assert rows.items == [ItemRow(TENANT, SALE, "wire", 0, 0), ItemRow(TENANT, SALE, "bulb", 4, 2)]
    assert rows.entries_of_items == [Entry(1, 1, 0, 0, TENANT, SALE, "bulb", None, "external", "available", 4)]
    assert rows.entries_of_adjustments == []


@pytest.mark.parametrize(
    ("change", "transfers"),
    [(3, [("external", "available", 3)]), (-2, [("available", "external", 2)]), (0, [])],
)
def test_an_adjustment_moves_units_in_or_out(change: int, transfers: list[tuple[str, str, int]]) -> None:
    """One that found the total as it should be moves none, and is kept all the same."""
    shard = FakeShard()
    shard.commit(adjusted(change, delta=change, reference="doc-7"))
    shard.commit(adjusted(change, adjustment_id="a-2", new_total=5, expected_total=0))

    rows = rows_of(shard)

    first, second = rows.adjustments
    assert first == (1, 1, 0, START_MS + 1, TENANT, SALE, "a-1", "lamp", change, None, None, "a count", "doc-7", "olga",
                     change, 5 + change)  # fmt: skip
    assert second[6:11] == ("a-2", "lamp", None, 5, 0)
    assert [(one.from_account, one.to_account, one.quantity) for one in rows.entries_of_adjustments] == 2 * transfers


def test_a_sale_leaves_at_the_time_of_its_commit() -> None:
    """The ledger answers for it from then on."""
    shard = FakeShard()
    shard.commit(Event(sale_left=SaleLeft(tenant=TENANT, sale_id=SALE)))

    assert rows_of(shard).left == [LeftRow(TENANT, SALE, shard.time_ms)]


def test_a_new_sales_fact_has_its_settings_and_items() -> None:
    """With what the moment of creation added: start, etag, times."""
    shard = FakeShard()
    sale = Sale(sale_id=SALE, title="Lamps", items=[Item(sku="lamp", total=5, buyer_limit=2)], buyer_limit=3)
    sale.hold_ttl.FromMilliseconds(60_000)
    shard.moves(("r-1", HELD))
    shard.commit(Event(sale_made=SaleMade(tenant=TENANT, sale=sale, start_time_ms=START_MS, body="digest")))

    [fact] = facts_of(shard)

    assert (fact.tenant, fact.sale_id, fact.time.ToMilliseconds()) == (TENANT, SALE, shard.time_ms)
    assert (fact.position.shard, fact.position.epoch, fact.position.seq, fact.position.index) == (3, 1, 2, 0)
    made = fact.made
    assert (made.etag, made.state, made.buyer_limit) == (etag_of(1, 2, 0), 0, 3)
    assert [(item.sku, item.total, item.buyer_limit) for item in made.items] == [("lamp", 5, 2)]
    assert made.start_time.ToMilliseconds() == START_MS
    assert made.max_hold_ttl.ToMilliseconds() == 60_000
    assert made.create_time == made.update_time == fact.time


def test_a_settings_fact_has_all_settings_and_only_the_items_that_were_added() -> None:
    """A consumer needs no earlier fact for the settings."""
    shard = FakeShard()
    shard.commit(changed(added=[Item(sku="bulb", total=4)], hold_ttl_ms=0))
    shard.commit(changed(end_time_ms=5, close_time_ms=7, release_time_ms=8, return_window_ms=0, paused=True))

    first, second = (fact.settings for fact in facts_of(shard))

    assert (first.reason, first.actor, [item.sku for item in first.sale.items]) == ("a flood", "olga", ["bulb"])
    assert first.sale.HasField("hold_ttl")
    assert (first.sale.hold_ttl.ToMilliseconds(), first.sale.return_window.ToMilliseconds()) == (0, 7_000)
    absent = ("end_time", "close_time", "create_time")
    assert not any(first.sale.HasField(name) for name in absent)
    assert not first.HasField("release_time")
    assert (second.sale.close_time.ToMilliseconds(), second.release_time.ToMilliseconds()) == (7, 8)
    assert second.sale.paused
    assert (second.sale.etag, second.sale.HasField("return_window")) == (etag_of(1, 2, 0), False)


def test_adjustments_and_departures_are_facts() -> None:
    """Each has its place, by which a consumer drops a repeat."""
    shard = FakeShard()
    shard.commit(adjusted(-2, delta=-2, reference="doc-7"), Event(sale_left=SaleLeft(tenant=TENANT, sale_id=SALE)))

    adjustment, departure = facts_of(shard)

    found = adjustment.adjusted
    assert (found.adjustment_id, found.sku, found.delta, found.total_after) == ("a-1", "lamp", -2, 3)
    assert (found.reason, found.reference, found.actor) == ("a count", "doc-7", "olga")
    assert (found.create_time, found.position) == (adjustment.time, adjustment.position)
    assert (departure.WhichOneof("change"), departure.position.index) == ("left", 1)


def test_facts_of_sales_have_their_sale_as_key() -> None:
    """So that a compacted copy of the topic keeps the latest of each."""
    shard = FakeShard()
    shard.open_sale(lamp=1)
    shard.moves(("r-1", CONFIRMED))

    assert [fact.key for fact in sale_facts(0, journal(shard))] == [f"{TENANT}/{SALE}".encode()]
