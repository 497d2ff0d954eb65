"""The two bodies of the rule behind one face: a Shelf, and the scripts in a real Redis, on clocks that tests move."""

import hashlib
import re
from typing import Any, Protocol

from holdfast.inventory.v1 import commit_pb2

from inventory_service.adapters.redis.connections import RedisConnections, connect
from inventory_service.adapters.redis.keys import SaleKeys, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import Epochs, RedisScripts, Script, load_script, script_from_text
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.ports import Housekeeping, ShardStock, Stock
from inventory_service.domain.requests import CreateSale, Line, Position, SaleKey
from inventory_service.domain.room import Room
from inventory_service.domain.shard_book import Change, CommitBody, SaleMade
from inventory_service.domain.shelf import Shelf
from inventory_service.domain.verdicts import Reservation

FIRST_MOMENT_MS = 1_800_000_000_000
CLOCK_KEY = "holdfast:clock-of-the-test"
CLOCK_LINES = re.compile(r"-- clock: begin\n.*-- clock: end\n", re.DOTALL)
TEST_CLOCK = f"local function wall_time_ms() return tonumber(redis.call('GET', '{CLOCK_KEY}')) end\n"


class WholeStock(Stock, ShardStock, Housekeeping, Protocol):
    """Everything that a body can be asked, and the room that it has."""

    room: Room


class Body(Protocol):
    """What a test may do to a body besides asking it. There is one shard, in epoch 1."""

    stock: WholeStock
    now_ms: int

    async def tick(self, ms: int) -> None:
        """Move the world's clock, also backwards."""

    async def settle_up_to(self, seq: int) -> None:
        """Say that the ledger has judged everything up to here, and trim the outbox so far."""

    async def commits(self) -> list[CommitBody]:
        """Everything that was told."""

    async def contents(self) -> Any:
        """Everything that is kept, comparable with itself."""

    async def buyers(self, sale: SaleKey) -> dict[str, dict[str, int]]:
        """Units that each buyer holds and owns."""

    async def keeps(self, sale: SaleKey) -> bool:
        """Anything at all is kept of a sale."""


class ShelfBody:
    """The rule in plain Python."""

    def __init__(self, outbox_limit: int) -> None:
        self.now_ms = FIRST_MOMENT_MS
        self.shelf = Shelf(lambda: self.now_ms, outbox_limit=outbox_limit)
        self.stock: WholeStock = self.shelf

    async def tick(self, ms: int) -> None:
        self.now_ms += ms

    async def settle_up_to(self, seq: int) -> None:
        self.shelf.settle_up_to(0, 1, seq)

    async def commits(self) -> list[CommitBody]:
        return list(self.shelf.commits())

    async def contents(self) -> Any:
        return repr(self.shelf.book())

    async def buyers(self, sale: SaleKey) -> dict[str, dict[str, int]]:
        return self.shelf.book().sales[sale].buyers

    async def keeps(self, sale: SaleKey) -> bool:
        return sale in self.shelf.book().sales


def load_script_on_test_clock(name: str) -> Script:
    """Load a script whose clock is a key that the test sets."""
    text, swapped = CLOCK_LINES.subn(TEST_CLOCK, load_script(name).text)
    assert swapped == 1, f"no clock to swap in {name}.lua"
    return script_from_text(name, text)


class ScriptsBody:
    """The real scripts on a real Redis."""

    def __init__(self, url: str, outbox_limit: int) -> None:
        self.now_ms = FIRST_MOMENT_MS
        self.url = url
        self.epochs = Epochs()
        self.connections = RedisConnections(url, size=2)
        scripts = RedisScripts(self.connections, self.epochs, load=load_script_on_test_clock)
        self.stock: WholeStock = RedisStock(scripts, shards=1, outbox_limit=outbox_limit)

    async def ask(self, *command: str | bytes | int) -> Any:
        """Send a command of the test's own."""
        async with self.connections.acquire() as connection:
            return await connection.ask(*command)

    async def open_shard(self) -> None:
        """Write what a take-over would, so that this suite rests on no other script."""
        connection = await connect(self.url)
        run_id = connection.run_id
        await connection.close()
        start = {"shards": 1, "epoch": 1, "seq": 0, "hash": "", "time": 0, "owner": run_id}
        ledger = {"trim_seq": 0, "trim_hash": "", "settled_epoch": 0, "settled_seq": 0}
        fields: list[Any] = [word for pair in (start | ledger).items() for word in pair]
        await self.ask("HSET", shard_keys(0).meta, *fields)
        await self.tick(0)

    async def tick(self, ms: int) -> None:
        self.now_ms += ms
        await self.ask("SET", CLOCK_KEY, self.now_ms)

    async def settle_up_to(self, seq: int) -> None:
        await self.ask("HSET", shard_keys(0).meta, "settled_epoch", 1, "settled_seq", seq, "trim_seq", seq)

    async def commits(self) -> list[CommitBody]:
        """Read the outbox; the hashes must chain and the ids be dense."""
        previous, found = "", []
        entries = await self.ask("XRANGE", shard_keys(0).outbox, "-", "+")
        for seq, (entry_id, (_, payload, _, told_hash)) in enumerate(entries, 1):
            assert entry_id.decode() == f"1-{seq}"
            previous = hashlib.sha1(previous.encode() + payload).hexdigest()
            assert told_hash.decode() == previous
            found.append(commit_from_payload(seq, payload))
        assert (await self.ask("HGET", shard_keys(0).meta, "hash")).decode() == previous
        return found

    async def contents(self) -> Any:
        """Every key but the test's clock, as Redis dumps it."""
        keys = sorted(key for key in await self.ask("KEYS", "*") if key != CLOCK_KEY.encode())
        return {key: await self.ask("DUMP", key) for key in keys}

    async def buyers(self, sale: SaleKey) -> dict[str, dict[str, int]]:
        values = await self.ask("HGETALL", self.keys(sale).buyers)
        units = {buyer.decode(): text.split() for buyer, text in zip(values[::2], values[1::2], strict=True)}
        return {buyer: {"held": int(held), "sold": int(sold)} for buyer, (held, sold) in units.items()}

    async def keeps(self, sale: SaleKey) -> bool:
        in_directory = await self.ask("ZSCORE", shard_keys(0).due, str(sale))
        return bool(await self.ask("EXISTS", *self.keys(sale))) or in_directory is not None

    async def holds(self, sale: SaleKey) -> dict[str, int]:
        """When each hold ends, swept or not."""
        values = await self.ask("ZRANGE", self.keys(sale).expiry, 0, -1, "WITHSCORES")
        return {name.decode(): int(score) for name, score in zip(values[::2], values[1::2], strict=True)}

    async def first_due(self, sale: SaleKey) -> float:
        """When the sale's first hold ends, as the shard's directory has it."""
        return float(await self.ask("ZSCORE", shard_keys(0).due, str(sale)))

    def keys(self, sale: SaleKey) -> SaleKeys:
        return sale_keys(0, sale)


def commit_from_payload(seq: int, payload: bytes) -> CommitBody:
    """Read a payload into the form in which the Shelf keeps its commits."""
    body = commit_pb2.CommitBody.FromString(payload)
    events = tuple(event_from_proto(event, seq, index, body.time_ms) for index, event in enumerate(body.events))
    return CommitBody(seq, body.time_ms, events)


def event_from_proto(event: commit_pb2.Event, seq: int, index: int, time_ms: int) -> Change | SaleMade:
    """Read an event; one that this reader does not know is a broken test."""
    if event.WhichOneof("event") == "sale_made":
        return SaleMade(sale_from_proto(event.sale_made), event.sale_made.start_time_ms)
    assert event.WhichOneof("event") == "reservation"
    change = event.reservation
    reservation = Reservation(
        sale=SaleKey(change.claim.tenant, change.claim.sale_id),
        reservation_id=change.claim.reservation_id,
        buyer_id=change.claim.buyer_id,
        lines=tuple(Line(line.sku, line.quantity) for line in change.claim.lines),
        state=change.state,
        revision=change.revision,
        create_time_ms=change.create_time_ms,
        update_time_ms=time_ms,
        expire_time_ms=change.expire_time_ms,
        created=Position(0, change.created_epoch, change.created_seq, change.created_index),
        position=Position(0, 1, seq, index),
        ledger_state=1,
        compensation_reason=change.compensation_reason,
        note=change.note,
    )
    return Change(change.previous_state, reservation)


def sale_from_proto(made: commit_pb2.SaleMade) -> CreateSale:
    """Read what an operator asked for."""
    sale = made.sale
    return CreateSale(
        sale=SaleKey(made.tenant, sale.sale_id),
        title=sale.title,
        start_time_ms=sale.start_time.ToMilliseconds() if sale.HasField("start_time") else None,
        end_time_ms=sale.end_time.ToMilliseconds() if sale.HasField("end_time") else None,
        hold_ttl_ms=sale.hold_ttl.ToMilliseconds(),
        max_hold_ttl_ms=sale.max_hold_ttl.ToMilliseconds(),
        buyer_limit=sale.buyer_limit,
        items=tuple(Line(item.sku, item.total) for item in sale.items),
    )
