"""Failures that are no single order's: the ledger freezes the shard, with the reason."""

from collections.abc import Iterable

import pytest
from holdfast.inventory.v1.commit_pb2 import Event, SaleChanged, StockAdjusted

from bench.commits import HELD, RELEASED, SALE, TENANT, FakeShard
from order_persister.domain.chain import KafkaRecord
from order_persister.domain.shards import Outcome
from tests.integration.one_shard_ledger import OneShardLedger
from tests.ledgers import open_shards

POISON_END = "alter table reservation add constraint poison check (state <> 'RELEASED')"


async def test_an_undecodable_commit_with_a_valid_hash_freezes_the_shard_when_repeated(
    one_shard: OneShardLedger,
) -> None:
    """Its hash is valid, so no resend will replace it."""
    one_shard.shard.seq += 1
    one_shard.shard.append(b"\xff\xff")

    first = await one_shard.apply(one_shard.shard.run())
    second = await one_shard.apply(one_shard.shard.run())

    assert (first.row.seq, first.row.frozen_reason, first.resend_from_seq) == (1, "", 2)
    assert second.row.frozen_reason.startswith("UNREADABLE: ")


async def test_a_give_back_that_fails_for_good_freezes_the_shard(one_shard: OneShardLedger) -> None:
    """No order can be refused for it; earlier commits of the same run are applied."""
    await one_shard.db.execute(POISON_END)
    one_shard.shard.moves(("r-1", HELD))
    one_shard.shard.moves(("r-2", HELD))
    one_shard.shard.moves(("r-1", RELEASED))
    await one_shard.apply(one_shard.shard.run(0, 2))

    outcome = await one_shard.apply(one_shard.shard.run(2))

    assert outcome.row.seq == 3
    assert outcome.row.frozen_reason.startswith("GIVE_BACK_REFUSED: ")
    assert await one_shard.dead_letters() == []


async def test_a_negative_balance_freezes_the_shard(one_shard: OneShardLedger) -> None:
    """More was sold than there was: that is no single order's fault, and none is compensated."""
    one_shard.shard.moves(("r-1", HELD), lamp=2000)
    one_shard.shard.moves(("r-2", HELD), lamp=1)

    outcome = await one_shard.apply_new()

    assert outcome.row.seq == 2
    assert outcome.row.frozen_reason.startswith("NEGATIVE_BALANCE: ")
    assert await one_shard.dead_letters() == []


async def test_a_refusal_before_a_commit_that_freezes_the_shard_is_published_with_its_transaction(
    one_shard: OneShardLedger,
) -> None:
    """The units of the refused order go back at once, although the rest of its batch cannot be applied."""
    await one_shard.db.execute("alter table reservation add constraint poison check (reservation_id <> 'r-1')")
    for number, units in ((1, 1), (2, 1), (3, 2000)):
        one_shard.shard.moves((f"r-{number}", HELD), lamp=units)
    published: list[Outcome] = []

    async def publish(outcomes: Iterable[Outcome]) -> None:
        published.extend(outcomes)

    [outcome] = await one_shard.ledger.apply([KafkaRecord(0, 0, one_shard.shard.run())], publish)

    assert outcome.row.frozen_reason.startswith("NEGATIVE_BALANCE: ")
    assert [(one.row.seq, one.has_refused) for one in published] == [(1, False), (2, True), (3, False), (3, False)]


@pytest.mark.parametrize(
    ("event", "table"),
    [
        (Event(stock_adjusted=StockAdjusted(tenant=TENANT, sale_id=SALE, adjustment_id="a-1", delta=0)), "adjustment"),
        (Event(sale_changed=SaleChanged(tenant=TENANT, sale_id=SALE)), "sale_change"),
    ],
    ids=["adjustment", "settings"],
)
async def test_a_change_of_a_sale_that_the_ledger_has_already_freezes_the_shard(
    one_shard: OneShardLedger, event: Event, table: str
) -> None:
    """Redis makes each once, so it forgot one, or the ledger was changed by hand."""
    one_shard.shard.commit(event)
    await one_shard.apply_new()
    await one_shard.db.execute(f"update {table} set seq = 3")
    one_shard.shard.commit(event)

    outcome = await one_shard.apply_new()

    assert outcome.row.seq == 2
    assert outcome.row.frozen_reason.startswith("GIVE_BACK_REFUSED: duplicate key value violates unique constraint")


async def test_a_change_of_a_sale_that_the_ledger_lacks_freezes_the_shard(one_shard: OneShardLedger) -> None:
    """There is no row that could have its settings."""
    one_shard.shard.commit(Event(sale_changed=SaleChanged(tenant=TENANT, sale_id="other")))

    outcome = await one_shard.apply_new()

    assert (outcome.row.seq, outcome.row.frozen_reason) == (
        1,
        "GIVE_BACK_REFUSED: the ledger does not hold a sale that has changed",
    )


async def test_a_missing_item_freezes_the_shard(one_shard: OneShardLedger) -> None:
    """The ledger has no row for its units."""
    one_shard.shard.moves(("r-1", HELD), sofa=1)

    outcome = await one_shard.apply_new()

    assert (outcome.row.seq, outcome.row.frozen_reason) == (
        1,
        f"NEGATIVE_BALANCE: there is no item sofa in sale {SALE}",
    )


async def test_a_commit_that_the_journal_has_already_freezes_its_shard_alone(one_shard: OneShardLedger) -> None:
    """A ledger that was restored or repaired in part; other shards are applied, and the persister runs on."""
    await open_shards(one_shard.db, [1])
    other = FakeShard(shard=1)
    other.open_sale("sofa-sale", sofa=1)
    one_shard.shard.moves(("r-1", HELD))
    one_shard.shard.moves(("r-2", HELD))
    await one_shard.db.execute("insert into journal (shard, epoch, seq, hash, payload) values (0, 1, 3, '', '')")

    stuck, unaffected = await one_shard.ledger.apply(
        [KafkaRecord(0, 0, one_shard.shard.run()), KafkaRecord(1, 0, other.run())]
    )

    assert (stuck.row.seq, stuck.resend_from_seq) == (2, 0)
    assert stuck.row.frozen_reason.startswith("LEDGER_BROKEN: duplicate key value violates unique constraint")
    assert (unaffected.row.seq, unaffected.row.frozen_reason) == (1, "")
    await one_shard.db.execute("delete from journal where shard = 0 and seq = 3")


async def test_bytes_that_cannot_even_be_quarantined_freeze_the_shard(one_shard: OneShardLedger) -> None:
    """They would be acknowledged, and no copy would be kept for an operator."""
    await one_shard.apply_new()
    await one_shard.db.execute("alter table quarantined_record add constraint full_up check (false)")

    outcome = await one_shard.apply(b"\xff\xff\xff")

    assert (outcome.row.seq, outcome.resend_from_seq) == (1, 0)
    assert outcome.row.frozen_reason.startswith("LEDGER_BROKEN: ")
