"""How many instructions Valkey executes for a call of Reserve, Confirm or Release, counted by valgrind's callgrind.

Other work on the machine does not change the count. Every call is made by the adapter of its checkout, on an open shard
in a Valkey that syncs each write. With a path, the calls of that checkout are counted too, by its own Python.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

from holdfast_embedded.process import spawn
from holdfast_embedded.valkey import Valkey

from inventory_service.adapters.redis import connecting, shards
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain import sale as sales
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Granted

HOUR_MS = 3_600_000
ACCEPTED, SOLD_OUT, CONFIRM, RELEASE = "accepted", "sold out", "confirm", "release"
MOVES = {CONFIRM: MoveKind.CONFIRM, RELEASE: MoveKind.RELEASE}
SIZES = {ACCEPTED: (1, 32, 128), SOLD_OUT: (1, 32, 128), CONFIRM: (1, 32), RELEASE: (1, 32)}
CALLS = {1: 400, 32: 60, 128: 20}
UNCOUNTED = 20  # calls beforehand
Item: Any = getattr(sales, "NewItem", Line)  # a Line in commits from before items had limits


class CountedValkey(Valkey):
    """Valkey under callgrind, several dozen times as slow."""

    dumps = 0

    def _spawn(self) -> subprocess.Popen[bytes]:
        # little work beside the calls, and no log of slow ones: under valgrind all are slow when the machine is busy
        settings = self._settings() | {"hz": "1", "slowlog-log-slower-than": "-1"}
        words = chain.from_iterable((f"--{key}", value) for key, value in settings.items())
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.data_dir}/count.%p"]
        with self.log_path.open("ab") as log:
            return spawn([*valgrind, self._program(), *words], stdout=log, stderr=log)

    def count(self) -> int:
        """Instructions since the last count."""
        subprocess.run(["vgdb", f"--pid={self.pid}", "dump"], check=True, capture_output=True)
        self.dumps += 1
        dump = (self.data_dir / f"count.{self.pid}.{self.dumps}").read_text()
        return int(re.findall(r"^totals: (\d+)", dump, re.MULTILINE)[0])


async def open_stock(valkey: Valkey) -> RedisStock:
    """The stock, on a shard as a take-over leaves it."""
    pool = connections_to(valkey.address, size=1)
    identity = (await shards.RedisShards(pool).status(0)).identity
    meta: dict[str, Any] = {"shards": 1, "epoch": 1, "seq": 0, "hash": "", "time": 0, "owner": identity, "format": 1}
    meta |= {"trim_seq": 0, "trim_hash": "", "settled_epoch": 0, "settled_seq": 0}
    async with pool.acquire() as connection:
        await connection.execute("HSET", shard_keys(0).meta, *chain.from_iterable(meta.items()))
    return RedisStock(RedisScripts(pool, ObservedHeads(), max_clock_ahead_s=60), shards=1, outbox_limit=10**9)


def reserves(sale: SaleKey, first: int, count: int) -> list[Reserve]:
    """Reserves of one unit, each by another buyer."""
    numbers = range(first, first + count)
    return [Reserve(sale, f"order-{n:030}", f"buyer-{n:08}", (Line("lamp", 1),), None) for n in numbers]


async def count_calls(valkey: CountedValkey, stock: RedisStock, kind: str, size: int) -> int:
    """Instructions a call, of `size` requests each."""
    sale = SaleKey("default", f"{kind}-{size}".replace(" ", "-"))
    items = (Item("lamp", 1 if kind == SOLD_OUT else 10**9),)
    ask = sales.CreateSale(sale, "Lamps", None, None, HOUR_MS, HOUR_MS, 0, items)
    unknown = await stock.change_sale(ask)
    assert isinstance(unknown, sales.SaleUnknown)
    await stock.change_sale(ask._replace(generation=unknown.generation))
    if kind == SOLD_OUT:
        await stock.reserve_many(0, reserves(sale, 0, 1))
    batches = [reserves(sale, 1 + at * size, size) for at in range(UNCOUNTED + CALLS[size])]
    if kind in MOVES:
        for batch in batches:
            await stock.reserve_many(0, batch)
    for at, batch in enumerate(batches):
        if at == UNCOUNTED:
            valkey.count()
        moves = [Move(sale, reserve.reservation_id, MOVES.get(kind, MoveKind.CONFIRM)) for reserve in batch]
        answers = [*await (stock.move_many(0, moves) if kind in MOVES else stock.reserve_many(0, batch))]
        assert all(isinstance(answer, Granted) == (kind != SOLD_OUT) for answer in answers), answers[0]
    return valkey.count() // CALLS[size]


async def count_all() -> dict[str, int]:
    """What each kind of call takes."""
    connecting.CONNECT_S = 60.0
    with tempfile.TemporaryDirectory() as folder:
        valkey = CountedValkey(Path(folder))
        valkey.start(deadline_s=120.0)
        try:
            stock = await open_stock(valkey)
            cases = [(kind, size) for kind, sizes in SIZES.items() for size in sizes]
            return {f"{kind}, {size} a call": await count_calls(valkey, stock, kind, size) for kind, size in cases}
        finally:
            valkey.kill()


def main() -> int:
    """Print the counts as JSON, or beside those of another checkout as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", metavar="PATH", help="of a checkout in which `make setup` was run")
    checkout = parser.parse_args().other
    counts = asyncio.run(count_all())
    if checkout is None:
        print(json.dumps(counts))
        return 0
    command = [f"{checkout}/.venv/bin/python", __file__]
    other = json.loads(subprocess.run(command, cwd=checkout, check=True, stdout=subprocess.PIPE).stdout)
    for case, count in counts.items():
        print(f"| {case} | {other[case]:,} | {count:,} | {count / other[case]:.3f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
