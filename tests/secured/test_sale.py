"""A whole sale on servers with TLS and passwords, to which every process connects by its settings alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from holdfast.client import Client
from holdfast.inventory.v1.reservation_pb2 import LedgerState, ReservationState
from redis.asyncio import Redis

from inventory_service.adapters.redis.keys import REVOCATIONS_KEY
from tests.crowd import CRASH_RETRY
from tests.secured.servers import SecuredRedis
from tests.stacks import run_command, running_stack
from tests.waiting import eventually

UNITS = {"lamp": 3}
SETTLES_S = 60.0
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_a_sale_on_secured_servers_is_recorded_and_audited(
    settings: Mapping[str, str], redis: SecuredRedis, tmp_path: Path, mechanism: str
) -> None:
    """The unit of a blocked buyer comes back, so its order and the compensation went through all servers."""
    sale = f"sale-by-{mechanism}"
    changed = {**settings, "HOLDFAST_KAFKA_SASL_MECHANISM": mechanism, "HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3"}
    with running_stack(tmp_path, **changed) as stack:
        async with Client(stack.addresses.listen, retry=CRASH_RETRY) as client:
            await client.create_sale(sale, UNITS)
            await client.reserve(sale, "r-1", "ann", {"lamp": 1})
            await client.confirm(sale, "r-1")
            await client.reserve(sale, "r-2", f"mallory-{mechanism}", {"lamp": 2})
            await client.block_buyer(f"mallory-{mechanism}", "a test")
            await client.confirm(sale, "r-2")
            assert (await client.revoke_tokens("a test", jti=mechanism)).recorded
            async with Redis.from_url(settings["HOLDFAST_REDIS_URL"]) as connection:
                assert mechanism in str(await connection.xrevrange(REVOCATIONS_KEY, count=1))

            async def is_settled() -> bool:
                """The ledger has recorded the one and refused the other, whose units are back."""
                recorded = (await client.get_reservation(sale, "r-1")).reservation
                refused = (await client.get_reservation(sale, "r-2")).reservation
                return (recorded.ledger_state, refused.state) == (LedgerState.LEDGER_STATE_RECORDED, COMPENSATED)

            await eventually(is_settled, SETTLES_S)
        audit = await run_command(stack, "audit", **changed)

    assert audit.code == 0, audit
