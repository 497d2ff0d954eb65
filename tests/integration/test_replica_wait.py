"""Changes that wait for a replica, on real servers."""

import signal
from contextlib import suppress

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_OUTCOME_UNKNOWN
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.replica_wait import ReplicaWait
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.results import Failure
from tests.integration.test_redis_connections import LAMPS, RESERVE, open_shard, stock_at
from tests.inventory_server import run_process
from tests.sales import make_sale
from tests.sentinels import follow
from tests.servers import StartValkey
from tests.waiting import eventually


def stock_with_wait(server: Valkey) -> RedisStock:
    """The stock of one shard, with a connection of its own."""
    scripts = RedisScripts(connections_to(server.address, size=1), ObservedHeads(), wait=ReplicaWait(1, 500))
    return RedisStock(scripts, shards=1, outbox_limit=1000)


async def test_a_repeat_on_another_connection_waits_for_the_change_that_it_repeats(start_valkey: StartValkey) -> None:
    """It writes nothing, so a WAIT alone would wait for nothing there, and a failover would lose what was told."""
    primary, replica = start_valkey(), start_valkey()
    await follow(replica, primary)
    await open_shard(primary.address)
    await make_sale(stock_at(primary.address), LAMPS)
    one, other = stock_with_wait(primary), stock_with_wait(primary)

    async def is_held() -> bool:
        """The same hold is told."""
        return not isinstance(await other.reserve(RESERVE), Failure)

    replica.signal(signal.SIGSTOP)
    try:
        heard = [await stock.reserve(RESERVE) for stock in (one, other)]
    finally:
        replica.signal(signal.SIGCONT)

    assert heard == [Failure(ERROR_REASON_OUTCOME_UNKNOWN)] * 2
    await eventually(is_held)


@pytest.mark.parametrize(("setting", "command"), [("WAIT", "wait"), ("WAIT_AOF", "waitaof")])
async def test_a_wait_that_redis_does_not_allow_is_one_line(
    start_valkey: StartValkey, database: str, setting: str, command: str
) -> None:
    """Also where it is too old to know WAITAOF: else every change would have an unknown outcome."""
    valkey = start_valkey()
    async with Redis.from_url(valkey.address) as client:
        with suppress(ResponseError):  # of one that is too old to know the command
            await client.execute_command("ACL", "SETUSER", "default", f"-{command}")  # type: ignore[no-untyped-call]
    settings = {"HOLDFAST_REDIS_URL": valkey.address, "HOLDFAST_POSTGRES_DSN": database}

    code, lines = await run_process("serve", **settings, **{f"HOLDFAST_REDIS_{setting}": "1"})

    assert (code, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"HOLDFAST_REDIS_{setting}: ")
    assert f"{command.upper()} fails: " in lines[0]
