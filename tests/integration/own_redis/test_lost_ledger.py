"""PostgreSQL comes back empty: no relay opens a shard beside it, and `holdfast restore` rebuilds it from Kafka."""

import shutil
from pathlib import Path

from holdfast_embedded.valkey import Valkey

from inventory_service.domain.shards import LedgerRow
from inventory_service.service.relay.takeover import Ending
from tests.integration.restored import Restored, insert_sales
from tests.integration.shard_processes import ShardProcesses
from tests.integration.shard_steps import answers, crash, restart_from_copy
from tests.servers import connected, flush
from tests.waiting import eventually

EMPTY = "truncate shard_watermark, shard_epoch, journal"


async def sell_and_lose_the_ledger(processes: ShardProcesses, server: Valkey, copy: Path) -> LedgerRow:
    """Copy Redis before its first commit, make some, and empty the ledger that had them; the row that it had."""
    shutil.copytree(server.data_dir, copy)
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    before = await processes.ledger.row(0)
    assert before is not None
    await insert_sales(processes)  # which the persister's double does not write, and the audit reads
    async with connected(processes.dsn) as db:
        await db.execute(EMPTY)
    return before


async def test_no_relay_opens_a_copy_from_before_the_first_commit_beside_an_empty_ledger(
    processes: ShardProcesses, server: Valkey, tmp_path: Path
) -> None:
    """Both have the hash of nothing, and Kafka has every order: opened, the shard would make orphans of them all."""
    await sell_and_lose_the_ledger(processes, server, tmp_path / "copy")
    await restart_from_copy(processes, server, tmp_path / "copy")

    async with processes.persister.running():
        endings = {(await processes.takeover().attempt(0)).ending for _ in range(2)}

    assert endings <= {Ending.NEWER_EPOCH, Ending.NEEDS_RESTORE}
    assert not await processes.serves()
    assert await processes.ledger.row(0) is None


async def test_restore_rebuilds_an_empty_ledger_from_kafka(
    processes: ShardProcesses, server: Valkey, tmp_path: Path
) -> None:
    """Whatever became of Redis: it holds all, it is a copy from before the first commit, or it is blank too."""
    before = await sell_and_lose_the_ledger(processes, server, tmp_path / "copy")
    for loss in ("none", "copy", "blank"):
        if loss == "none":
            await crash(processes, server)
        elif loss == "copy":
            await restart_from_copy(processes, server, tmp_path / "copy")
        else:
            await flush(processes.redis_url)
        await eventually(lambda: answers(processes))

        async with processes.persister.running():
            restored = await Restored(processes).run(only=0)

        assert restored.code == 0, restored
        after = await processes.ledger.row(0)
        assert after is not None
        assert (await processes.serves(), after.hash) == (True, before.hash)
        async with connected(processes.dsn) as db:
            await db.execute(EMPTY)
