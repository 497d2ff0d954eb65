"""When a shard does not serve: blank, foreign, in a take-over, frozen, an older copy, a clock ahead; a full Redis."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason

from inventory_service.adapters.redis.call import keys_of
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing, load_script
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import Position
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.shards import CommitId
from tests.contract.requests import SALE, compensate, confirm, create, release, reserve, spend
from tests.contract.shards import RedisShard, WholeStock, load_script_on_test_clock
from tests.sales import make_sale

META = shard_keys(0).meta
NOT_SERVING = ErrorReason.ERROR_REASON_SHARD_NOT_SERVING

CALLS: dict[str, Callable[[WholeStock], Awaitable[object]]] = {
    "reserve": lambda stock: stock.reserve(reserve("r-2")),
    "replay": lambda stock: stock.reserve(reserve("r-1")),
    "confirm": lambda stock: stock.move(confirm("r-1")),
    "release": lambda stock: stock.move(release("r-1")),
    "spend": lambda stock: stock.move(spend("r-9")),
    "expire": lambda stock: stock.expire(0),
    "compensate": lambda stock: stock.compensate(compensate("r-1", Position(0, 1, 2, 0))),
    "create_sale": lambda stock: make_sale(stock, create(sale=SALE._replace(sale_id="other"))),
    "archive": lambda stock: stock.archive(SALE, 0),
    "count_holds": lambda stock: stock.count_holds(0),
    "find_reservation": lambda stock: stock.find_reservation(SALE, "r-1"),
    "find_sale": lambda stock: stock.find_sale(SALE),
    "list_sales": lambda stock: stock.list_sales(0),
}

FILES = (files("inventory_service") / "lua").iterdir()
OF_NO_SHARD = {"add_revocation"}  # which has no format: a reader skips what it cannot read
OF_SHARDS = sorted({file.name.removesuffix(".lua") for file in FILES if file.is_file()} - OF_NO_SHARD)

STATES = {
    "owned by another process": ["HSET", META, "owner", "the-one-before-the-restart"],
    "in a take-over": ["HSET", META, "takeover_token", "token"],
    "frozen": ["HSET", META, "frozen", "HASH_DIFFERS: why"],
    "blank": ["DEL", META],
    "of a later format": ["HSET", META, "format", 2],
}


async def a_hold_and_an_overdue_one(scripts: RedisShard) -> None:
    """So that every call would have something to change."""
    await make_sale(scripts.stock, create())
    await scripts.stock.reserve(reserve("r-1"))
    await scripts.stock.reserve(reserve("r-0", ttl_ms=1000))
    await scripts.tick(1000)
    await scripts.settle_up_to(3)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
async def test_a_shard_that_does_not_serve_answers_and_changes_nothing(
    scripts: RedisShard, state: list[str], call: Callable[[WholeStock], Awaitable[object]]
) -> None:
    """Promise 7: until a take-over has compared it with the ledger, no call is served, not even a read."""
    await a_hold_and_an_overdue_one(scripts)
    await scripts.ask(*state)
    kept = await scripts.contents()

    answer = await call(scripts.stock)

    frozen = {"frozen_reason": "HASH_DIFFERS: why"} if "frozen" in state else {}
    assert answer == Failure(NOT_SERVING, frozen)
    assert await scripts.contents() == kept


@pytest.mark.parametrize(("change", "found"), [(["HSET", META, "format", 2], 2), (["HDEL", META, "format"], 0)])
@pytest.mark.parametrize("script", OF_SHARDS)
async def test_no_script_runs_on_data_of_another_format(
    scripts: RedisShard, script: str, change: list[str], found: int
) -> None:
    """A script of an older version would drop what it does not know from everything that it writes."""
    await a_hold_and_an_overdue_one(scripts)
    await scripts.ask(*change)
    kept = await scripts.contents()

    calls = RedisScripts(scripts.connections, ObservedHeads(), load_script_on_test_clock)
    with pytest.raises(ShardNotServing, match=f"^FORMAT {found} 1$"):
        await calls.run(script, 0, keys_of(0, [SALE]), ["0"] * 12)

    assert await scripts.contents() == kept


async def test_a_newer_epoch_is_served_and_observed(scripts: RedisShard) -> None:
    """A take-over began it; from then on no Redis of the epoch before is served."""
    await make_sale(scripts.stock, create())
    await scripts.ask("HSET", META, "epoch", 7, "seq", 0)

    answer = await scripts.stock.reserve(reserve("r-1"))

    assert isinstance(answer, Granted)
    assert answer.reservation.created == Position(0, 7, 1, 0)
    assert scripts.heads.get(0) == CommitId(7, 1)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_redis_that_lacks_an_observed_commit_is_frozen(
    scripts: RedisShard, call: Callable[[WholeStock], Awaitable[object]]
) -> None:
    """It holds an older copy of the data, by which callers who observed less would sell units a second time."""
    await a_hold_and_an_overdue_one(scripts)
    kept = await scripts.contents()
    scripts.heads.observe(0, CommitId(1, 4))

    answer = await call(scripts.stock)

    assert answer == Failure(NOT_SERVING)
    reason = "WENT_BACK: commit 1-4 was observed, and Redis ends at 1-3"
    assert await call(other_caller(scripts)) == Failure(NOT_SERVING, {"frozen_reason": reason})
    await scripts.ask("HDEL", META, "frozen")
    assert await scripts.contents() == kept


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_a_redis_of_an_older_epoch_is_not_served(
    scripts: RedisShard, call: Callable[[WholeStock], Awaitable[object]]
) -> None:
    """Another Redis was taken over since. Who knows a ledger that is not this Redis' must not stop it for all."""
    await a_hold_and_an_overdue_one(scripts)
    kept = await scripts.contents()
    scripts.heads.observe(0, CommitId(2, 0))

    assert await call(scripts.stock) == Failure(NOT_SERVING)
    assert await scripts.contents() == kept


async def test_reading_the_status_freezes_a_redis_that_lacks_an_observed_commit(scripts: RedisShard) -> None:
    """The relay reads it twice a second, so the shard is frozen although no call is made."""
    await a_hold_and_an_overdue_one(scripts)
    scripts.heads.observe(0, CommitId(1, 4))
    shards = RedisShards(scripts.connections, scripts.heads)

    status = await shards.status(0)

    reason = "WENT_BACK: commit 1-4 was observed, and Redis ends at 1-3"
    assert (status.serving, status.frozen_reason) == (False, reason)
    assert (await shards.status(0)).frozen_reason == reason


async def test_the_status_counts_the_sales_with_overdue_holds(scripts: RedisShard) -> None:
    """By it the relay knows, without a further call, whether a hold is to be taken back."""
    on_test_clock = RedisScripts(scripts.connections, scripts.heads, load_script_on_test_clock)

    async def overdue_sales() -> int:
        _, _, _, _, count, _ = await on_test_clock.run("status", 0, shard_keys(0))
        return int(count)

    await a_hold_and_an_overdue_one(scripts)
    assert await overdue_sales() == 1

    await scripts.stock.expire(0)

    assert await overdue_sales() == 0


def other_caller(scripts: RedisShard) -> RedisStock:
    """The same Redis as another process sees it, which has observed nothing."""
    return RedisStock(RedisScripts(scripts.connections, ObservedHeads(), load_script_on_test_clock), 1, 100)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_no_call_is_served_far_ahead_of_the_callers_clock(
    scripts: RedisShard, call: Callable[[WholeStock], Awaitable[object]]
) -> None:
    """A hold would end early, a sale open early, and the time of the shard would be wrong for good."""
    await a_hold_and_an_overdue_one(scripts)
    kept = await scripts.contents()
    callers_ms = scripts.latest_ms

    await scripts.tick(5_001)
    scripts.latest_ms = callers_ms
    answer = await call(scripts.stock)

    assert answer == Failure(NOT_SERVING, {"clock": "Redis' clock is 5.0 s ahead of this process'"})
    assert await scripts.contents() == kept


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_no_call_is_served_far_behind_the_time_of_the_last_commit(
    scripts: RedisShard, call: Callable[[WholeStock], Awaitable[object]]
) -> None:
    """A commit was made while all clocks were ahead: at its time, a hold of two seconds would last an hour."""
    await a_hold_and_an_overdue_one(scripts)
    await scripts.tick(3_600_000)
    assert isinstance(await scripts.stock.reserve(reserve("r-5")), Granted)
    await scripts.tick(-3_600_000)
    scripts.latest_ms = scripts.now_ms
    kept = await scripts.contents()

    answer = await call(scripts.stock)

    ahead = "the shard's last commit is dated 3600.0 s ahead of this process' clock"
    assert answer == Failure(NOT_SERVING, {"clock": ahead})
    assert await scripts.contents() == kept


async def test_a_call_is_served_at_the_bound_of_the_clock(scripts: RedisShard) -> None:
    """A clock that is ahead a little is no reason to stop."""
    await make_sale(scripts.stock, create())
    callers_ms = scripts.latest_ms
    await scripts.tick(5_000)
    scripts.latest_ms = callers_ms

    assert isinstance(await scripts.stock.reserve(reserve("r-1")), Granted)


async def test_scripts_that_redis_has_lost_are_loaded_again(scripts: RedisShard) -> None:
    """A restart or SCRIPT FLUSH costs one round trip, and no call fails."""
    await make_sale(scripts.stock, create())
    await scripts.ask("SCRIPT", "FLUSH")

    answer = await scripts.stock.reserve(reserve("r-1"))

    assert isinstance(answer, Granted)
    sha = load_script_on_test_clock("reserve").sha
    assert await scripts.ask("SCRIPT", "EXISTS", sha) == [1]


async def test_a_full_redis_fails_reserve_and_serves_moves(scripts: RedisShard) -> None:
    """At maxmemory Reserve fails with LEDGER_BEHIND before anything is written; moves and compensations go on."""
    await make_sale(scripts.stock, create())
    held = [await scripts.stock.reserve(reserve(f"r-{number}")) for number in range(3)]
    assert isinstance(held[2], Granted)
    kept = await scripts.contents()
    await scripts.ask("CONFIG", "SET", "maxmemory", 1)
    try:
        refused = await scripts.stock.reserve(reserve("r-3"))
        kept_afterwards = await scripts.contents()
        settled = await scripts.stock.move_many(0, [confirm("r-0"), release("r-1")])
        compensated = await scripts.stock.compensate(compensate("r-2", held[2].reservation.created))
        read = await scripts.stock.find_sale(SALE)
    finally:
        await scripts.ask("CONFIG", "SET", "maxmemory", 0)

    assert refused == Failure(ErrorReason.ERROR_REASON_LEDGER_BEHIND)
    assert kept_afterwards == kept
    assert all(isinstance(answer, Granted) for answer in settled)
    assert compensated is True
    assert not isinstance(read, Failure)


async def test_each_script_runs_on_the_clock_of_redis(scripts: RedisShard) -> None:
    """The test clock of this suite is the only difference: every script has the real clock's lines once."""
    for name in (
        "reserve",
        "move",
        "expire",
        "compensate",
        "create_sale",
        "read",
        "list_sales",
        "count_holds",
        "archive",
    ):
        assert load_script(name).text.count("redis.call('TIME')") == 1
        assert load_script_on_test_clock(name).text.count("redis.call('TIME')") == 0
