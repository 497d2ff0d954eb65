"""What operators read of a shard that a later version keeps in another format: it is no outage of Redis."""

import time
from collections.abc import Mapping
from typing import Any, cast

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from holdfast_runtime.retry import Outage, Outages
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.snapshots import RedisSaleReader
from inventory_service.domain.restore import ON_REQUEST
from inventory_service.domain.shards import LedgerRow
from inventory_service.service import audit, restore
from inventory_service.service.memory_watch import MemoryWatch
from inventory_service.wiring.store_probe import store_probe
from tests.contract.shards import RedisShard

SENTENCE = "shard 0 is kept in format 2 and this Holdfast knows 1: run the newer version"


class EmptyLedger:
    """Answers, and has no shard."""

    async def row(self, shard: int) -> LedgerRow | None:
        return None

    async def rows(self) -> Mapping[int, LedgerRow]:
        return {}


async def test_restore_audit_and_health_say_which_version_to_run(
    scripts: RedisShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who is told to start Redis would look for the fault in the wrong place."""
    monkeypatch.setattr(restore, "ERRORS", 2)
    await scripts.ask("HSET", shard_keys(0).meta, "format", 2)
    shards, ledger, written = RedisShards(scripts.connections), cast(Any, EmptyLedger()), list[str]()
    audits = audit.Dependencies(shards, ledger, RedisSaleReader(scripts.connections), ledger, print, written.append)
    restores = restore.Dependencies(shards, ledger, ledger, ledger, audits, written.append, time.monotonic)
    probe = store_probe(
        shards, 1, cast(MemoryWatch, None), Outage(Outages(CollectorRegistry()), structlog.get_logger())
    )

    codes = [
        await restore.run(restores, restore.Options(1, None, ON_REQUEST, dry_run=False, as_json=False)),
        await audit.run(audits, 1, None, deadline_s=5.0, as_json=False),
    ]
    with capture_logs() as logged:
        health = await probe()

    assert (codes, health.is_ready) == ([2, 2], False)
    assert written == [f"shard 0 could not be opened: {SENTENCE}", f"The audit failed: {SENTENCE}"]
    assert [event["why"] for event in logged] == [SENTENCE]
