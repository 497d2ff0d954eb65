"""A shard's copy of blocked buyers on each implementation: what it rejects, and how it follows the ledger's list."""

import random
from itertools import pairwise

import pytest

from inventory_service.adapters.redis.keys import blocked_key
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.keys import BuyerKey, SaleKey
from tests.contract.requests import MINUTE_MS, SALE, block, confirm, create, release, reserve, unblock
from tests.contract.results import granted, reason_of, rejected
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, RedisShard, ShardUnderTest
from tests.sales import make_sale

OTHER_TENANT = SaleKey("acme", "lamp-sale")


async def replace_copy(shard: ShardUnderTest, version: int, *buyers: str) -> None:
    """Replace the copy by a list, as a relay does."""
    seen, _ = await shard.blocked()
    await shard.copies.begin(0, version, seen)
    if buyers:
        assert await shard.copies.add(0, version, [BuyerKey("default", buyer) for buyer in buyers])
    assert await shard.copies.drop_others(0, version)


# ------------------------------------------------------------------------------------------- what is rejected


@NOT_SERVED
async def test_a_blocked_buyer_gets_nothing_until_unblocked(shard: ShardUnderTest) -> None:
    """Of that tenant alone; the same name of another one is another buyer."""
    await make_sale(shard.stock, create())
    await make_sale(shard.stock, create(OTHER_TENANT))

    await shard.copies.change(0, block("bob", 1))

    answer = await rejected(shard, reserve("r-1", buyer="bob"))
    assert (reason_of(answer), answer.retry_after_ms) == ("BUYER_BLOCKED", None)
    await granted(shard, reserve("r-1", buyer="bob", sale=OTHER_TENANT))
    await granted(shard, reserve("r-2", buyer="bo"))

    await shard.copies.change(0, unblock("bob", 2))
    await granted(shard, reserve("r-1", buyer="bob"))


@NOT_SERVED
async def test_what_a_blocked_buyer_has_can_be_settled(shard: ShardUnderTest) -> None:
    """And repeats hear what stands: only new units are rejected."""
    await make_sale(shard.stock, create())
    for name in ("kept", "left", "asked-again"):
        await granted(shard, reserve(name, buyer="bob"))

    await shard.copies.change(0, block("bob", 1))

    assert (await granted(shard, reserve("asked-again", buyer="bob"))).replayed
    assert reason_of(await shard.stock.move(confirm("kept"))) == "GRANTED"
    assert reason_of(await shard.stock.move(release("left"))) == "GRANTED"


@NOT_SERVED
@pytest.mark.parametrize(
    ("sale", "first"),
    [
        (create(end_time_ms=FIRST_MOMENT_MS + 1), "SALE_ENDED"),
        (create(start_time_ms=FIRST_MOMENT_MS + MINUTE_MS), "SALE_NOT_STARTED"),
        (create(items={"lamp": 0}), "BUYER_BLOCKED"),
        (create(buyer_limit=1), "BUYER_BLOCKED"),
    ],
)
async def test_the_block_comes_after_the_window_and_before_stock(
    shard: ShardUnderTest, sale: object, first: str
) -> None:
    """A caller acts on one reason, and which one must not depend on the implementation."""
    await make_sale(shard.stock, sale)  # type: ignore[arg-type]
    await shard.copies.change(0, block("bob", 1))
    await shard.tick(1)
    kept = await shard.contents()

    assert reason_of(await shard.stock.reserve(reserve("r-1", buyer="bob", lamp=2))) == first
    assert await shard.contents() == kept


@NOT_SERVED
async def test_blocked_buyers_of_one_call_are_told_apart(shard: ShardUnderTest) -> None:
    """They are read once a call, for all of its sales."""
    await make_sale(shard.stock, create())
    await make_sale(shard.stock, create(OTHER_TENANT))
    await shard.copies.change(0, block("bob", 1))
    calls = [("r-1", "ann", SALE), ("r-2", "bob", SALE), ("r-3", "bob", OTHER_TENANT), ("r-4", "bob", SALE)]

    answers = await shard.stock.reserve_many(0, [reserve(name, buyer, sale) for name, buyer, sale in calls])

    assert [reason_of(answer) for answer in answers] == ["GRANTED", "BUYER_BLOCKED", "GRANTED", "BUYER_BLOCKED"]


# ---------------------------------------------------------------------------------- how the copy follows the list


@NOT_SERVED
async def test_changes_in_their_order_keep_a_copy_complete(each_shard: ShardUnderTest) -> None:
    """So a copy that was complete once need not be replaced."""
    await replace_copy(each_shard, 0)

    for change in (block("ann", 1), block("bob", 2), unblock("ann", 3), block("bob", 3, before=3)):
        assert await each_shard.copies.change(0, change)

    assert await each_shard.blocked() == (3, {"default/bob"})


@NOT_SERVED
async def test_a_change_behind_a_lost_one_leaves_the_copy_incomplete(each_shard: ShardUnderTest) -> None:
    """It takes effect at once, and the version tells that one is missing. A repeat that changed nothing hides none."""
    await replace_copy(each_shard, 1, "ann")

    await each_shard.copies.change(0, block("cid", 3))
    await each_shard.copies.change(0, block("ann", 3, before=3))

    assert await each_shard.blocked() == (1, {"default/ann", "default/cid"})


@NOT_SERVED
async def test_a_late_change_does_not_undo_a_later_one(each_shard: ShardUnderTest) -> None:
    """Whether the later one came by itself or with a replacement of the copy."""
    await replace_copy(each_shard, 5, "ann")
    await each_shard.copies.change(0, block("bob", 7))

    assert not await each_shard.copies.change(0, unblock("ann", 4))
    await each_shard.copies.change(0, unblock("bob", 6))

    assert await each_shard.blocked() == (6, {"default/ann", "default/bob"})


@NOT_SERVED
async def test_a_replacement_drops_as_well_as_adds(each_shard: ShardUnderTest) -> None:
    """But not who is blocked while it is under way: that is of a later list."""
    await replace_copy(each_shard, 2, "ann", "bob")

    await each_shard.copies.begin(0, 4, None)
    assert (await each_shard.blocked())[0] is None
    await each_shard.copies.change(0, block("dora", 5))
    await each_shard.copies.add(0, 4, [BuyerKey("default", "bob"), BuyerKey("default", "cid")])
    await each_shard.copies.drop_others(0, 4)

    assert await each_shard.blocked() == (4, {"default/bob", "default/cid", "default/dora"})


@NOT_SERVED
async def test_a_replacement_ends_the_one_before_it(each_shard: ShardUnderTest) -> None:
    """Two relays may replace a copy at once; only the one that began last completes it."""
    await each_shard.copies.begin(0, 4, None)
    await each_shard.copies.begin(0, 5, None)

    assert not await each_shard.copies.add(0, 4, [BuyerKey("default", "ann")])
    assert not await each_shard.copies.drop_others(0, 4)
    assert await each_shard.copies.drop_others(0, 5)

    assert await each_shard.blocked() == (5, set())


@NOT_SERVED
async def test_a_list_that_was_set_back_replaces_a_newer_copy(each_shard: ShardUnderTest) -> None:
    """A ledger that was restored from a backup is the truth, and has lost the later blocks."""
    await replace_copy(each_shard, 9, "ann", "bob")

    await replace_copy(each_shard, 4, "ann")

    assert await each_shard.blocked() == (4, {"default/ann"})


@NOT_SERVED
async def test_changes_before_a_replacement_unblock_no_buyer(each_shard: ShardUnderTest) -> None:
    """A relay reads the version of the copy and then of the list, and blocks may reach the copy before it begins."""
    await replace_copy(each_shard, 6, "ann")
    seen, _ = await each_shard.blocked()
    for change in (block("bob", 7), block("cid", 8)):
        await each_shard.copies.change(0, change)

    await each_shard.copies.begin(0, 7, seen)

    assert await each_shard.blocked() == (None, {"default/ann", "default/bob", "default/cid"})


async def test_a_large_copy_is_replaced_in_steps(scripts: RedisShard) -> None:
    """No step blocks Redis for long; the last one completes the copy."""
    old, new = ([BuyerKey("default", f"{word}-{number}") for number in range(2500)] for word in ("old", "new"))
    for version, buyers in ((1, old), (2, new)):
        await scripts.copies.begin(0, version, version - 1)
        for first in range(0, len(buyers), 1000):
            assert await scripts.copies.add(0, version, buyers[first : first + 1000])
        assert await scripts.copies.drop_others(0, version)

    assert await scripts.blocked() == (2, {str(buyer) for buyer in new})


async def test_no_blocked_buyer_costs_no_command(scripts: RedisShard) -> None:
    """A Reserve reads the hash only where its size is not 0."""
    await make_sale(scripts.stock, create())
    await scripts.ask("SET", blocked_key(0), "not a hash: a read of it would fail")

    await granted(scripts, reserve("r-1"))


@NOT_SERVED
@pytest.mark.parametrize("seed", range(4))
async def test_a_copy_has_every_change_up_to_its_version(each_shard: ShardUnderTest, seed: int) -> None:
    """Whatever is lost, doubled, late or a repeat, and whenever it is replaced, which makes it equal to the list."""
    rng = random.Random(seed)
    lists, changes = _history(rng)
    sent = [*changes, *_repeats(rng, lists)]
    waiting = [change for change in sent if rng.random() < 0.8 for _ in range(rng.choice([1, 1, 2]))]
    waiting.sort(key=lambda change: change.version + rng.choice([0, 0, 0, rng.uniform(0, 4)]))

    for change in waiting:
        await each_shard.copies.change(0, change)
        if rng.random() < 0.3:
            at = min(change.version + rng.randint(0, 2), len(lists) - 1)
            await replace_copy(each_shard, at, *lists[at])
        version, found = await each_shard.blocked()
        if version is not None:
            later = {str(change.buyer) for change in changes if change.version > version}
            assert found - later == {f"default/{buyer}" for buyer in lists[version]} - later
    await replace_copy(each_shard, len(lists) - 1, *lists[-1])

    assert await each_shard.blocked() == (len(lists) - 1, {f"default/{buyer}" for buyer in lists[-1]})


def _history(rng: random.Random) -> tuple[list[set[str]], list[BlockChange]]:
    """A list of blocked buyers at each of its versions, and the changes that led there."""
    lists: list[set[str]] = [set()]
    for _ in range(30):
        lists.append(lists[-1] ^ {rng.choice(["ann", "bob", "cid", "dora"])})
    changes = []
    for version, (before, after) in enumerate(pairwise(lists), 1):
        (buyer,) = before ^ after
        changes.append(block(buyer, version) if buyer in after else unblock(buyer, version))
    return lists, changes


def _repeats(rng: random.Random, lists: list[set[str]]) -> list[BlockChange]:
    """Changes that were none: each found its buyer so in a list that may be later than the version that it has."""
    repeats = []
    for version in range(len(lists)):
        buyer, found = (
            rng.choice(["ann", "bob", "cid", "dora"]),
            lists[min(version + rng.randint(0, 2), len(lists) - 1)],
        )
        repeats.append(block(buyer, version, version) if buyer in found else unblock(buyer, version, version))
    return repeats
