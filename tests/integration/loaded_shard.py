"""A shard with its ledger, which loses its Redis and is loaded again."""

from typing import Any

from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from inventory_service.adapters.kafka.runs import runs_from_commits
from inventory_service.adapters.ledger.load import PostgresLoadSource
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.memory import RedisMemory
from inventory_service.adapters.redis.outbox import RedisOutbox
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.domain.archive import ArchiveStep
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.load_ports import LoadTarget
from inventory_service.domain.moves import Compensate
from inventory_service.domain.sale import CreateSale
from inventory_service.domain.shards import LOADED, BegunTakeover, Commit, CommitId, Fenced, LedgerProgress, LedgerRow
from inventory_service.service.relay.load_progress import LoadProgress
from inventory_service.service.relay.loader import LoaderPorts, ShardLoader
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests.contract.shards import RedisShard, load_script_on_test_clock
from tests.ledgers import ledger_in, open_shards
from tests.sales import make_sale
from tests.servers import connected, flush

RETENTION_MS = 2000
OUTBOX_LIMIT = 10_000
META = (b"shards", b"hash", b"time", b"settled_epoch", b"settled_seq")  # what a new epoch keeps
# What is packed, as lists: {key, {field, value, ..}} a key of the shard.
STORED = """#!lua
local found = {}
for _, key in ipairs(redis.call('KEYS', 'holdfast:{0}:*')) do
  local kind, values = redis.call('TYPE', key).ok, nil
  if kind == 'zset' then values = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end
  if kind == 'hash' then
    values = redis.call('HGETALL', key)
    for at = 1, #values, 2 do
      local adjustment = string.find(key, ':adjustments:', 1, true) and values[at] ~= '@'
      local packed = string.find(key, ':reservations:', 1, true) or values[at] == 'settings' or adjustment
      if packed then values[at + 1] = {cmsgpack.unpack(values[at + 1])} end
    end
  end
  found[#found + 1] = {key, values or {}}
end
return found
"""


class LoadedShard(RedisShard):
    """Shard 0 of one: the scripts on the test's clock, the persister's code on a real ledger, and the loader."""

    def __init__(self, url: str, dsn: str) -> None:
        super().__init__(url, OUTBOX_LIMIT)
        self.url = url
        self.dsn = dsn
        self.pool = LedgerPool(dsn)
        self.ledger = LedgerShards(self.pool)
        self.shards = RedisShards(self.connections)
        self.database = Database(dsn)
        self.writer = ledger_in(self.database)
        self.progress: list[LoadProgress] = []
        self.target_scripts = RedisScripts(self.connections, ObservedHeads(), load_script_on_test_clock)
        self.target = RedisLoadTarget(self.target_scripts)
        self.source = PostgresLoadSource(self.pool)
        self.left: set[SaleKey] = set()
        self._loads = 0

    @classmethod
    async def opened(cls, url: str, dsn: str) -> "LoadedShard":
        """An empty shard, and an empty ledger with its row."""
        await flush(url)
        async with connected(dsn) as db:
            tables = await db.fetch("select tablename from pg_tables where schemaname = 'public'")
            names = [row["tablename"] for row in tables if row["tablename"] != "migration"]
            await db.execute(f"truncate {', '.join(names)}")
            await open_shards(db, [0], of=1)
        shard = cls(url, dsn)
        await shard.open_shard()
        return shard

    async def close(self) -> None:
        await self.connections.close()
        await self.pool.close()
        await self.database.close()

    async def row(self) -> LedgerRow:
        row = await self.ledger.row(0)
        assert row is not None
        return row

    async def create_sale(self, request: CreateSale) -> None:
        """Make a sale, unless it has left Redis: the ledger, which knows it, would then have been asked."""
        if request.sale not in self.left:
            await make_sale(self.stock, request)

    async def block(self, buyer: str, blocked: bool) -> None:
        """Block a buyer from the next drain on, or no longer."""
        async with connected(self.dsn) as db:
            await db.execute("delete from blocked_buyer where buyer_id = $1", buyer)
            if blocked:
                await db.execute("insert into blocked_buyer values ('default', $1, 'a test')", buyer)

    async def drain(self) -> None:
        """Apply the outbox to the ledger and trim it, as relay and persister do."""
        outbox, after = RedisOutbox(self.connections), CommitId(0, 0)
        commits: list[Commit] = []
        while more := await outbox.read_after(0, after, wait_ms=1):
            commits += more
            after = more[-1].commit_id
        if commits:
            records = [KafkaRecord(0, at, run.value) for at, run in enumerate(runs_from_commits(0, commits))]
            await self.writer.apply(records)
        row = await self.row()
        assert not row.frozen_reason, row
        report = (row.epoch, row.seq, row.hash, row.settled_epoch, row.settled_seq)
        await self.shards.trim(LedgerProgress(0, *report, resend=False, frozen_reason=""))

    async def compensate(self) -> None:
        """Give the units of refused orders back, as the compensator does."""
        async with connected(self.dsn) as db:
            letters = await db.fetch("select * from dead_letter where state = 'OPEN'")
        for one in letters:
            created = Position(0, one["created_epoch"], one["created_seq"], one["created_index"])
            reason = CompensationReason.Value(f"COMPENSATION_REASON_{one['reason']}")
            sale = SaleKey(one["tenant"], one["sale_id"])
            await self.stock.compensate(Compensate(sale, one["reservation_id"], created, reason, one["detail"]))

    async def archive(self, sale: SaleKey) -> bool:
        """Archive what may leave of a sale; whether the sale has left."""
        cursor = 0
        while True:
            step = await self.stock.archive(sale, RETENTION_MS, cursor)
            assert isinstance(step, ArchiveStep), step
            if step.sale_left:
                self.left.add(sale)
            if step.cursor == 0:
                return step.sale_left
            cursor = step.cursor

    async def archive_all(self) -> None:
        """Archive all that may leave."""
        found = await self.stock.list_sales(0)
        assert isinstance(found, list), found
        for sale in found:
            while await self.archive(sale):
                pass

    async def begin_takeover(self, token: str = "") -> tuple[BegunTakeover, Fenced]:
        """The first steps of a take-over of a shard that does not serve: the take-over, and its fence."""
        self._loads += 1
        token = token or f"load-{self._loads}"
        row = await self.row()
        begun = await self.shards.begin_takeover(0, token, row.epoch, also_serving=False)
        assert isinstance(begun, BegunTakeover), begun
        fenced = await self.ledger.fence(row, begun.epoch, LOADED)
        assert fenced is not None
        return begun, fenced

    async def lose(self, blank: bool) -> None:
        """Redis is blank, or its shard was frozen."""
        if blank:
            await flush(self.url)
            await self.tick(0)
        else:
            await self.ask("HSET", shard_keys(0).meta, "frozen", "NEEDS_RESTORE: a test")

    async def load(self, blank: bool) -> None:
        """Lose what Redis has, and load it."""
        await self.lose(blank)
        begun, fenced = await self.begin_takeover()
        assert await self.load_in(begun, fenced)
        assert (await self.shards.status(0)).serving

    async def load_in(self, takeover: BegunTakeover, fenced: Fenced, target: LoadTarget | None = None) -> bool:
        """Load in a take-over that has begun; whether the shard serves."""
        memory, writes = RedisMemory(self.connections), target or self.target
        ports = LoaderPorts(self.source, writes, self.shards, memory, RETENTION_MS, self.progress.append)
        async with ShardLoader(ports).load_of(takeover, fenced.row) as load:
            assert load is not None
            await load.check_room()
            return await load.run(fenced)

    async def stored(self) -> dict[str, dict[bytes, Any]]:
        """Every key of the shard with every field, unpacked, in no order; of its state, what a new epoch keeps.

        The attempts of buyers are not in the ledger: a restart of Redis may forget them. After a load no sale has `at`
        and `due`.
        """
        found: Any = await self.ask("EVAL", STORED, 0)
        stored = {key.decode(): _fields(values) for key, values in found if b":attempts-" not in key}
        for key, fields in stored.items():
            if ":sale:" in key:
                fields.pop(b"at", None)
                fields.pop(b"due", None)
        stored.pop(shard_keys(0).outbox, None)
        meta = stored[shard_keys(0).meta]
        stored[shard_keys(0).meta] = {field: meta.get(field) for field in META}
        return stored


def _fields(values: Any) -> dict[bytes, Any]:
    return dict(zip(values[::2], values[1::2], strict=True))
