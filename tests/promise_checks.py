"""Compares the claims acknowledged to buyers with Redis and the ledger, by queries of its own, not the product's code.

The product's audit is run as well and must find no difference either.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import asyncpg
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from redis.asyncio import Redis

from tests.crowd import SKU, Acknowledged, state_name
from tests.fault_stack import FaultStack, shard_of
from tests.ledger_consistency import inconsistencies
from tests.servers import connected
from tests.waiting import eventually

DRAIN_S = 90.0
HELD = ReservationState.RESERVATION_STATE_HELD

ENTRIES = """
select sku, from_account, to_account, quantity, format('%s-%s/%s', epoch, seq, index) as position
  from ledger_entry where sale_id = $1 order by epoch, seq, index, line"""
ROWS = """
select r.reservation_id, r.state, sum(l.quantity)::bigint as units
  from reservation r join reservation_line l using (tenant, sale_id, reservation_id)
 where r.sale_id = $1 group by r.reservation_id, r.state"""
ITEM = "select total, available, held, sold, refused from item where sale_id = $1 and sku = $2"


class Item(NamedTuple):
    """A balance, in units."""

    available: int
    held: int
    sold: int


async def find_violations(stack: FaultStack, sale_id: str, acknowledged: Mapping[str, Acknowledged]) -> list[str]:
    """Every broken promise in a sentence, once all commits have reached the ledger."""
    violations = await find_violations_of_sale(stack, sale_id, acknowledged)
    return [*violations, *await audit_violations(stack)]


async def find_violations_of_sale(
    stack: FaultStack, sale_id: str, acknowledged: Mapping[str, Acknowledged]
) -> list[str]:
    """The same, of one sale among several, without the product's own audit."""
    await eventually(lambda: is_settled(stack, sale_id), DRAIN_S)
    async with connected(stack.running.addresses.postgres_dsn) as db:
        rows = await orders_in_ledger(db, sale_id)
        return [
            *(violation for claim in acknowledged.values() for violation in claim_violations(claim, rows)),
            *(f"{name} is in the ledger and was not acknowledged" for name in rows.keys() - acknowledged.keys()),
            *oversold(await db.fetch(ENTRIES, sale_id)),
            *await inconsistencies(db),
        ]


async def audit_violations(stack: FaultStack) -> list[str]:
    """What the product's own audit finds, of all sales."""
    audit = await stack.run("audit")
    return [] if audit.code == 0 else [audit.stdout + audit.stderr]


async def find_lost_orders(stack: FaultStack, sale_id: str, acknowledged: Mapping[str, Acknowledged]) -> list[str]:
    """Every acknowledged claim that the ledger does not have as it was acknowledged, whatever state Redis has."""
    async with connected(stack.running.addresses.postgres_dsn) as db:
        rows = await orders_in_ledger(db, sale_id)
        lost = [violation for claim in acknowledged.values() for violation in claim_violations(claim, rows)]
        return [*lost, *oversold(await db.fetch(ENTRIES, sale_id)), *await inconsistencies(db)]


async def orders_in_ledger(db: "asyncpg.Connection[asyncpg.Record]", sale_id: str) -> dict[str, tuple[str, int]]:
    """State and units of every reservation in the ledger."""
    return {row["reservation_id"]: (row["state"], row["units"]) for row in await db.fetch(ROWS, sale_id)}


async def is_settled(stack: FaultStack, sale_id: str) -> bool:
    """No hold is left, no compensation is due, and Redis and the ledger have the same stock."""
    async with stack.redis() as redis, connected(stack.running.addresses.postgres_dsn) as db:
        in_redis = await item_in_redis(redis, sale_id)
        row = await db.fetchrow(ITEM, sale_id, SKU)
    assert row is not None, "the ledger has no row of the sale"
    total, *in_ledger, refused = row
    assert in_redis == tuple(in_ledger), f"Redis has {in_redis}, the ledger {row}"
    assert in_redis.held == refused == 0, f"{in_redis.held} units are held, {refused} refused"
    assert sum(in_redis) == total, f"{in_redis} does not add up to {total}"
    assert await stack.outbox_length(shard_of(sale_id)) == 0, "commits wait in the outbox"
    return True


async def count_refusals(stack: FaultStack, sale_id: str) -> int:
    """How many orders of a sale the ledger refused."""
    async with connected(stack.running.addresses.postgres_dsn) as db:
        return int(await db.fetchval("select count(*) from dead_letter where sale_id = $1", sale_id))


async def item_in_redis(redis: Redis, sale_id: str) -> Item:
    """The stock as Redis keeps it."""
    text = await redis.hget(f"holdfast:{{{shard_of(sale_id)}}}:sale:default/{sale_id}", f"item:{SKU}")
    assert text, "Redis has no record of the sale"
    return Item(*map(int, text.split()))


def claim_violations(claim: Acknowledged, rows: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Yield a sentence if the ledger has an acknowledged claim otherwise than it may."""
    row = rows.get(claim.reservation_id)
    if row is None:
        yield f"{claim} is not in the ledger"
    elif row[1] != claim.units:
        yield f"{claim} is in the ledger with {row[1]} units"
    elif row[0] not in allowed_ends(claim):
        yield f"{claim} is {row[0]} in the ledger"


def allowed_ends(claim: Acknowledged) -> set[str]:
    """The states in which a claim may end: an open hold expires, and the ledger refuses a blocked buyer's."""
    state = "EXPIRED" if claim.state == HELD else state_name(claim.state)
    if not claim.blocked:
        return {state}
    return {"COMPENSATED"} if state in ("CONFIRMED", "COMPENSATED") else {state, "COMPENSATED"}


def oversold(entries: Sequence[asyncpg.Record]) -> Iterator[str]:
    """At each position of the ledger, in order: no account below zero, and no more claimed than was ever there."""
    balances: dict[str, Counter[str]] = {}
    for sku, source, target, quantity, position in entries:
        balance = balances.setdefault(sku, Counter())
        balance[source] -= quantity
        balance[target] += quantity
        if any(balance[account] < 0 for account in ("available", "held", "sold", "refused")):
            yield f"{sku} is below zero at {position}: {dict(balance)}"
        if balance["held"] + balance["sold"] + balance["refused"] > -balance["external"]:
            yield f"{sku} is oversold at {position}: {dict(balance)}"
