"""What no order can be blamed for: the ledger takes no more of that shard, and says why."""

from order_persister.domain.chain import KafkaRecord
from tests.commits import (
    HELD,
    RELEASED,
    SALE,
    FakeShard,
)
from tests.integration.one_shard import Books
from tests.ledgers import open_shards

POISON_END = "alter table reservation add constraint poison check (state <> 'RELEASED')"


async def test_a_commit_that_was_written_unreadable_freezes_the_shard_when_it_comes_again(books: Books) -> None:
    """Its chain is valid, so no resend will ever mend it."""
    books.shard.seq += 1
    books.shard.append(b"\xff\xff")

    first = await books.apply(books.shard.run())
    second = await books.apply(books.shard.run())

    assert (first.row.seq, first.row.frozen_reason, first.resend_from_seq) == (1, "", 2)
    assert second.row.frozen_reason.startswith("UNREADABLE: ")


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


async def test_a_commit_that_the_journal_has_already_freezes_its_shard_alone(books: Books) -> None:
    """A ledger that was restored or mended in part; the other shards go on, and so does the persister."""
    await open_shards(books.db, [1])
    other = FakeShard(shard=1)
    other.open_sale("sofa-sale", sofa=1)
    books.shard.moves(("r-1", HELD))
    books.shard.moves(("r-2", HELD))
    await books.db.execute("insert into journal (shard, epoch, seq, hash, payload) values (0, 1, 3, '', '')")

    stuck, gone_on = await books.ledger.apply([KafkaRecord(0, 0, books.shard.run()), KafkaRecord(1, 0, other.run())])

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
