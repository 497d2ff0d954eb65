"""Reads what Redis and the ledger hold, raw: decoding of its own, and of the product nothing but its messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
from redis.asyncio import Redis

from tests.faults.recovery import msgpack

STATES = ("NEW", "HELD", "CONFIRMED", "RELEASED", "EXPIRED", "COMPENSATED", "RETURNED")
# Where the fields of a stored reservation stand.
STATE, REVISION, EXPIRE_MS, EPOCH, SEQ, INDEX, FINGERPRINT, UNITS = 0, 1, 4, 8, 9, 10, 12, 15

Key = tuple[str, str]  # a sale's id, and the id of a reservation, a SKU or a buyer
Units = tuple[tuple[str, int], ...]  # SKU and quantity, sorted
Accounts = tuple[tuple[str, int, int, int], ...]  # SKU, claimed, of these sold, of these come back; sorted


@dataclass(frozen=True)
class Reservation:
    """A reservation as a store has it, with the position of its latest change."""

    state: str
    revision: int
    buyer_id: str
    units: Units  # as asked
    epoch: int
    seq: int
    index: int
    unusual: Accounts = ()  # where state and units do not imply them

    @property
    def held(self) -> Units:
        """What it keeps from others for a while."""
        accounts = self.unusual or usual(self.state, self.units)
        return tuple((sku, claimed) for sku, claimed, _, _ in accounts) if self.state == "HELD" else ()

    @property
    def sold(self) -> Units:
        """What its buyer has."""
        accounts = self.unusual or usual(self.state, self.units)
        return tuple((sku, sold - back) for sku, _, sold, back in accounts) if self.state == "CONFIRMED" else ()


def usual(state: str, units: Units) -> Accounts:
    """What most reservations have: all that was asked is sold while they are confirmed, and back once returned."""
    is_sold, is_back = state in ("CONFIRMED", "RETURNED"), state == "RETURNED"
    return tuple((sku, quantity, quantity * is_sold, quantity * is_back) for sku, quantity in units)


def unusual(state: str, units: Units, accounts: Accounts) -> Accounts:
    """The accounts, or none where they are the usual ones."""
    return () if accounts == usual(state, units) else accounts


class Head(NamedTuple):
    """The last commit of a shard."""

    epoch: int
    seq: int
    hash: str


@dataclass
class InRedis:
    """The state of every shard in Redis."""

    heads: dict[int, Head] = field(default_factory=dict)
    not_serving: dict[int, str] = field(default_factory=dict)  # shard -> why
    waiting: dict[int, int] = field(default_factory=dict)  # commits in the outbox
    items: dict[Key, tuple[int, int, int]] = field(default_factory=dict)  # available, held, sold
    reservations: dict[Key, Reservation] = field(default_factory=dict)
    buyers: dict[Key, tuple[int, int]] = field(default_factory=dict)  # held, sold
    expiring: set[Key] = field(default_factory=set)  # holds that end at some time


class Item(NamedTuple):
    """A row of the ledger, in units."""

    total: int
    available: int
    held: int
    sold: int
    refused: int


class Commit(NamedTuple):
    """A commit of the journal."""

    shard: int
    epoch: int
    seq: int
    hash: str
    payload: bytes


@dataclass
class InLedger:
    """The ledger's rows."""

    heads: dict[int, Head]
    frozen: dict[int, str]
    items: dict[Key, Item]
    reservations: dict[Key, Reservation]
    journal: list[Commit]  # by shard, epoch and seq
    orphans: set[tuple[int, int, int, int]]  # shard, epoch, seq, index
    losses: set[tuple[int, int, int, int]]  # shard, epoch, and epoch and seq of its base: commits above it were lost
    open_letters: int


async def read_redis(redis_url: str, shards: int) -> InRedis:
    """Everything that Redis has of every shard."""
    found = InRedis()
    async with Redis.from_url(redis_url) as redis:
        for shard in range(shards):
            await _read_shard(redis, shard, found)
    return found


async def read_heads(redis_url: str, shards: int) -> dict[int, Head]:
    """The last commit of each shard that is not blank."""
    async with Redis.from_url(redis_url) as redis:
        metas: Any = {shard: await redis.hgetall(f"holdfast:{{{shard}}}:meta") for shard in range(shards)}
    return {shard: _head(meta) for shard, meta in metas.items() if b"epoch" in meta}


async def _read_shard(redis: Redis, shard: int, found: InRedis) -> None:
    prefix = f"holdfast:{{{shard}}}:"
    meta: Any = await redis.hgetall(f"{prefix}meta")
    why_not = [name for name in (b"frozen", b"takeover_token", b"void") if name in meta]
    if b"epoch" not in meta or why_not:
        found.not_serving[shard] = ", ".join(f"{name.decode()} {meta[name].decode()}" for name in why_not) or "blank"
    if b"epoch" in meta:
        found.heads[shard] = _head(meta)
    found.waiting[shard] = await redis.xlen(f"{prefix}outbox")
    keys: list[bytes] = [key async for key in redis.scan_iter(f"{prefix}*", count=1000)]
    for key in keys:
        kind, _, name = key.decode().removeprefix(prefix).partition(":")
        if name:
            await _read_key(redis, key, kind, name.partition("/")[2], found)


async def _read_key(redis: Redis, key: bytes, kind: str, sale_id: str, found: InRedis) -> None:
    """Read one of the keys of a sale; the tenant is always the same one."""
    if kind == "expiry":
        names: Any = await redis.zrange(key, 0, -1)
        found.expiring |= {(sale_id, name.decode()) for name in names}
        return
    if kind not in ("sale", "reservations", "buyers"):
        return
    fields: Any = await redis.hgetall(key)
    for name, value in fields.items():
        place = (sale_id, name.decode())
        if kind == "reservations":
            found.reservations[place] = _reservation(value)
        elif kind == "buyers" and b"/" not in name:  # else of one item that has a limit of its own
            held, sold = map(int, value.split()[:2])
            found.buyers[place] = (held, sold)
        elif name.startswith(b"item:"):
            available, held, sold = map(int, value.split()[:3])
            found.items[sale_id, name.decode().removeprefix("item:")] = (available, held, sold)


def _head(meta: Mapping[bytes, bytes]) -> Head:
    return Head(int(meta[b"epoch"]), int(meta.get(b"seq", 0)), meta.get(b"hash", b"").decode())


def _reservation(packed: bytes) -> Reservation:
    fields = msgpack.unpack(packed)
    numbers = {at: int(fields[at] or 0) for at in (STATE, REVISION, EPOCH, SEQ, INDEX)}
    fingerprint, accounts = fields[FINGERPRINT], fields[UNITS] if len(fields) > UNITS else b""
    assert isinstance(fingerprint, bytes)
    assert isinstance(accounts, bytes)
    buyer, _, *lines = fingerprint.decode().split(" ") if fingerprint else ("", "")
    units = sorted((line.partition("=")[0], int(line.partition("=")[2])) for line in lines if "=" in line)
    place = (numbers[EPOCH], numbers[SEQ], numbers[INDEX])
    found = tuple(sorted(map(_account, accounts.decode().split())))
    return Reservation(STATES[numbers[STATE]], numbers[REVISION], buyer, tuple(units), *place, unusual=found)


def _account(text: str) -> tuple[str, int, int, int]:
    sku, _, numbers = text.partition("=")
    claimed, sold, back = map(int, numbers.split(":"))
    return sku, claimed, sold, back


_ROWS = """
select r.sale_id, r.reservation_id, r.state, r.revision, r.buyer_id, r.epoch, r.seq, r.index,
       array_agg((l.sku, l.quantity, l.confirmed_quantity, l.returned_quantity, l.asked_quantity) order by l.sku)
           filter (where l.sku is not null) as lines
  from reservation r left join reservation_line l using (tenant, sale_id, reservation_id)
 group by r.tenant, r.sale_id, r.reservation_id"""


async def read_ledger(db: "asyncpg.Connection[asyncpg.Record]") -> InLedger:
    """Everything that the ledger has, as of one moment."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        marks = await db.fetch("select shard, epoch, seq, hash, frozen_reason from shard_watermark")
        items = await db.fetch("select sale_id, sku, total, available, held, sold, refused from item")
        journal = await db.fetch("select shard, epoch, seq, hash, payload from journal order by shard, epoch, seq")
        orphans = await db.fetch("select shard, epoch, seq, index from orphan")
        losses = await db.fetch("select shard, epoch, base_epoch, base_seq from shard_epoch where known_lost")
        return InLedger(
            heads={row["shard"]: Head(row["epoch"], row["seq"], row["hash"]) for row in marks},
            frozen={row["shard"]: row["frozen_reason"] for row in marks if row["frozen_reason"]},
            items={(sale_id, sku): Item(*balances) for sale_id, sku, *balances in items},
            reservations=dict(map(_row, await db.fetch(_ROWS))),
            journal=[Commit(*row) for row in journal],
            orphans={tuple(row) for row in orphans},
            losses={tuple(row) for row in losses},
            open_letters=await db.fetchval("select count(*) from dead_letter where state = 'OPEN'"),
        )


async def journal_of(db: "asyncpg.Connection[asyncpg.Record]") -> set[tuple[int, int, int]]:
    """The commits that the ledger holds: shard, epoch and seq."""
    return {tuple(row) for row in await db.fetch("select shard, epoch, seq from journal")}


def _row(row: asyncpg.Record) -> tuple[Key, Reservation]:
    lines = row["lines"] or ()  # none of an id that was spent
    units = tuple((sku, asked) for sku, *_, asked in lines if asked)
    accounts = tuple((sku, claimed, sold, back) for sku, claimed, sold, back, _ in lines if claimed)
    place = (row["epoch"], row["seq"], row["index"])
    return (row["sale_id"], row["reservation_id"]), Reservation(
        row["state"], row["revision"], row["buyer_id"], units, *place, unusual(row["state"], units, accounts)
    )
