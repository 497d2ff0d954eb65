"""Keeps and reads orphans: changes that callers may have heard of and that the ledger never takes."""

import json
from collections.abc import Sequence

from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.keys import Position
from inventory_service.domain.orphans import Orphan, orphans_from
from inventory_service.domain.reservation import Line
from inventory_service.domain.shards import Commit


class LedgerOrphans:
    """The table of orphans; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger
        self._sql = ledger_queries()

    async def keep(self, shard: int, commits: Sequence[Commit], why: str) -> int:
        """Keep the changes of those commits that the ledger lacks: how many they are. A repeat changes nothing."""
        found = [orphan for commit in commits for orphan in orphans_from(shard, commit, why)]
        rows = [(*one.position, *one[1:6], _json(one.lines), *one[7:]) for one in found]
        async with self._ledger.connection() as db:
            kept = await db.fetch(self._sql.insert_orphans, *zip(*rows, strict=True)) if rows else []
        return len(kept)

    async def list(self) -> Sequence[Orphan]:
        """All of them, by position."""
        async with self._ledger.connection() as db:
            rows = await db.fetch(self._sql.orphans)
        return [_orphan(*row) for row in rows]


def _orphan(shard: int, epoch: int, seq: int, index: int, *fields: str) -> Orphan:
    commit_hash, tenant, sale_id, reservation_id, buyer_id, lines, state, why = fields
    position, units = Position(shard, epoch, seq, index), tuple(Line(*line) for line in json.loads(lines or "[]"))
    return Orphan(position, commit_hash, tenant, sale_id, reservation_id, buyer_id, units, state, why)


def _json(lines: Sequence[Line]) -> str:
    return json.dumps([line._asdict() for line in lines])
