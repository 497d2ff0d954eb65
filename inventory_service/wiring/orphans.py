"""Builds `orphans`, which lists what callers may have heard of and what is lost."""

import json
from collections.abc import Sequence
from typing import Annotated

from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.process import Command, JsonOption
from holdfast_runtime.settings import LOGGING, POSTGRES
from holdfast_runtime.signals import run_unless_signalled
from inventory_service.adapters.ledger.orphans import LedgerOrphans
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain.orphans import Orphan
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.settings import Settings


async def list_orphans(settings: Settings, as_json: Annotated[bool, JsonOption()] = False) -> int:
    """List every change that the ledger never takes; the list is written to standard output."""

    async def write() -> int:
        try:
            orphans = await LedgerOrphans(LedgerPool(settings.postgres_dsn)).list()
        except ServerUnavailable as error:
            why = f"{error.server} does not answer: {error}"
            print(json.dumps({"error": why}) if as_json else why)
            return 2
        print(_json(orphans) if as_json else _text(orphans))
        return 0

    return await run_unless_signalled(write())


def _json(orphans: Sequence[Orphan]) -> str:
    return json.dumps({"orphans": [_fields(orphan) for orphan in orphans]})


def _fields(orphan: Orphan) -> dict[str, object]:
    lines = [line._asdict() for line in orphan.lines]
    return {**orphan._asdict(), "position": orphan.position._asdict(), "lines": lines}


def _text(orphans: Sequence[Orphan]) -> str:
    return "\n".join(map(_line, orphans)) or "There are no orphans."


def _line(orphan: Orphan) -> str:
    shard, epoch, seq, index = orphan.position
    sale, what = f"{orphan.tenant}/{orphan.sale_id}", orphan.state
    if orphan.reservation_id:
        sale += f" {orphan.reservation_id}, buyer {orphan.buyer_id or 'none'}"
        what += " " + ", ".join(f"{quantity} {sku}" for sku, quantity in orphan.lines)
    return f"shard {shard}, {epoch}-{seq}-{index}: {sale}: {what}: {orphan.why}"


COMMAND = Command(
    name="orphans",
    purpose="list the changes that callers may have been answered with and that the ledger never takes",
    dependencies=(postgres_dependency,),
    settings=(*POSTGRES, "start_wait_s", *LOGGING),
    run=list_orphans,
    kind=Settings,
    verifies=True,
)
