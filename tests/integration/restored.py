"""Runs `holdfast restore` on the servers of a shard's processes, and writes the rows that its audit compares."""

import itertools
import time

from inventory_service.domain.events import sales_made
from inventory_service.domain.restore import ON_REQUEST, Permission
from inventory_service.service import restore
from tests.integration.shard_processes import SHARDS, ShardProcesses


class Restored(list[str]):
    """The exit code of a restore, and what it wrote."""

    def __init__(self, processes: ShardProcesses) -> None:
        self._processes = processes
        self.code = -1

    async def run(
        self, permission: Permission = ON_REQUEST, dry_run: bool = False, only: int | None = None, as_json: bool = False
    ) -> "Restored":
        self.clear()
        processes = self._processes
        dependencies = restore.Dependencies(
            processes.shards,
            processes.ledger,
            processes.commit_offsets,
            processes.takeover(),
            processes.audit(),
            self.append,
            time.monotonic,
        )
        self.code = await restore.run(dependencies, restore.Options(SHARDS, only, permission, dry_run, as_json))
        return self

    @property
    def lines(self) -> list[str]:
        return self[0].splitlines()


async def insert_sales(processes: ShardProcesses) -> None:
    """Write the sales that the journal names, as a persister does, so that an audit finds no difference."""
    async with processes.connected() as db:
        payloads = [row["payload"] for row in await db.fetch("select payload from journal")]
        for sale in itertools.chain.from_iterable(map(sales_made, payloads)):
            await db.execute(
                """insert into sale (tenant, sale_id, title, start_time, hold_ttl_ms, max_hold_ttl_ms, buyer_limit,
                create_time, update_time, shard, etag_epoch, etag_seq, etag_index, body, attempts_per_minute,
                return_window_ms) values ($1, $2, '', now(), 1, 1, 0, now(), now(), 0, 1, 1, 0, '', 0, 0)""",
                *sale,
            )
