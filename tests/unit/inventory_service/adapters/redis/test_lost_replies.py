"""What follows a reply that is lost, or that says that a take-over is gone: the same again, or other connections."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from inventory_service.adapters.redis.connection import REPLY_TIMEOUT_S, OutcomeUnknown
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.load import SENDS, RedisLoadTarget
from inventory_service.adapters.redis.replica_wait import ReplicaWait
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shards import BegunTakeover

TAKEOVER = BegunTakeover(0, "token", "redis", 0, 0, "")


class OneConnection:
    """A pool with one connection, whose replies a test writes; None: it gets lost."""

    def __init__(self, *replies: list[bytes] | None) -> None:
        self._replies = list(replies)
        self.sent: list[Sequence[Any]] = []
        self.demands = 0
        self.renewal = self

    @asynccontextmanager
    async def acquire(self, shard: int) -> AsyncIterator["OneConnection"]:
        yield self

    async def execute(self, *command: Any, timeout_s: float, wait: ReplicaWait | None) -> object:
        assert (timeout_s, wait) == (REPLY_TIMEOUT_S, None)
        self.sent.append(command)
        reply = self._replies.pop(0)
        if reply is None:
            raise OutcomeUnknown("no reply in time")
        return reply

    def demand(self, interval_s: float = 0.0) -> None:
        self.demands += 1

    def scripts(self) -> RedisScripts:
        return RedisScripts(cast(RedisConnections, self), ObservedHeads(), now_ms=lambda: 1)


async def test_a_part_whose_reply_is_lost_is_sent_again_as_it_was() -> None:
    """It may have been written or not: the same number never stands for anything else."""
    redis = OneConnection(None, [b"DONE"])

    assert await RedisLoadTarget(redis.scripts()).write_part(TAKEOVER, 7, [])

    first, second = redis.sent
    assert first == second


async def test_a_redis_that_never_answers_is_given_up() -> None:
    """The take-over is begun anew when it is back."""
    redis = OneConnection(*[None] * SENDS)

    with pytest.raises(OutcomeUnknown):
        await RedisLoadTarget(redis.scripts()).write_part(TAKEOVER, 7, [])


async def test_a_take_over_that_is_gone_closes_the_connections() -> None:
    """Another Redis may have the address, and this one would say the same at each attempt."""
    redis = OneConnection([b"GONE"])

    assert await RedisLoadTarget(redis.scripts()).begin_load(TAKEOVER, 0) is None

    assert redis.demands == 1
