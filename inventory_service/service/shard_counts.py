"""Compares HOLDFAST_SHARDS with the number of shards for which each server was initialized."""

import asyncio
from collections.abc import Awaitable, Sequence

from inventory_service.domain.shard_ports import LedgerRows, Shards, TopicAdmin
from inventory_service.domain.shards import ServerUnavailable, check_partitions, check_shard_count

TIMEOUT_S = 5.0  # a server that takes longer counts as unavailable


async def check_shard_counts(
    shard_count: int,
    shards: Shards,
    ledger: LedgerRows,
    topics: TopicAdmin | None = None,
    names: Sequence[str] = (),
) -> None:
    """`ShardCountMismatch` if Redis, the ledger or one of the topics `names` has another number of shards.

    A server that is unavailable or not initialized yet passes: an outage keeps no process from starting. All are asked
    at once, within TIMEOUT_S.
    """
    checks = [_check_redis(shard_count, shards), _check_ledger(shard_count, ledger)]
    if topics is not None:
        checks.append(_check_topics(shard_count, topics, names))
    found = await asyncio.gather(*(_if_it_answers(check) for check in checks), return_exceptions=True)
    for problem in found:
        if problem is not None:
            raise problem


async def _if_it_answers(check: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check
    except (ServerUnavailable, TimeoutError):
        return


async def _check_redis(shard_count: int, shards: Shards) -> None:
    """Each open shard has the number in its `meta`."""
    for shard in range(shard_count):
        check_shard_count(shard_count, (await shards.status(shard)).shards, "Redis")


async def _check_ledger(shard_count: int, ledger: LedgerRows) -> None:
    for row in (await ledger.rows()).values():
        check_shard_count(shard_count, row.shards, "the ledger")


async def _check_topics(shard_count: int, topics: TopicAdmin, names: Sequence[str]) -> None:
    found = await topics.partitions()
    for name in names:
        check_partitions(shard_count, found.get(name, 0), name)
