"""Loads a shard of Redis in numbered parts: packs settings and records as the scripts of lua/ pack them."""

import struct
from collections.abc import Sequence
from typing import Any

from inventory_service.adapters.redis.connection import Argument, OutcomeUnknown
from inventory_service.adapters.redis.keys import adjustments_key, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing, unavailable
from inventory_service.domain.reservation import HELD
from inventory_service.domain.shard_load import LoadedAdjustment, LoadedRecord, LoadSize, SalePart, StoredSettings
from inventory_service.domain.shards import BegunTakeover, Fenced

SENDS = 3  # of a script whose reply is lost
# MessagePack, which the scripts read with cmsgpack: 0xcf is before an integer of 8 bytes, 0xd3 before one with a sign,
# 0xce before one of 4 bytes, 0xda before the 2 bytes of a text's length; a number below 128 is one byte. A script
# writes shorter forms of the same numbers. All numbers of a record are packed at once, for there may be millions.
_RECORD = struct.Struct(">B BI BQ BQ BQ BQ BQ BI BQ BQ BI B".replace(" ", ""))
_SETTINGS = struct.Struct(">" + "Bq" * 15)
_NUMBER = struct.Struct(">Bq")
_TEXT = struct.Struct(">BH")
_U64, _U32, _I64, _STR = 0xCF, 0xCE, 0xD3, 0xDA


class RedisLoadTarget:
    """Every script here does nothing unless the take-over, and the Redis in which it began, are the same.

    Each may come twice: what it does is done already then, or is refused. So one whose reply is lost is sent again.
    """

    def __init__(self, scripts: RedisScripts) -> None:
        self._scripts = scripts

    async def renew(self, takeover: BegunTakeover) -> bool:
        """Tell other processes that the take-over goes on; False if it is gone."""
        (result,) = await self._run("takeover_renew", takeover)
        return bool(result == b"RENEWED")

    async def size(self, takeover: BegunTakeover) -> LoadSize | None:
        """How much the shard has; None if the take-over is gone."""
        size, cursor = LoadSize(0, 0), b"0"
        while True:
            result, *counted = await self._run("takeover_load_size", takeover, cursor)
            if result != b"COUNTED":
                return None
            cursor, reservations, buyers = counted
            size = LoadSize(size.reservations + reservations, size.buyers + buyers)
            if cursor == b"0":
                return size

    async def begin_load(self, takeover: BegunTakeover, time_ms: int) -> int | None:
        """Give up what the shard has; the shard's time in ms, not before `time_ms`; None if the take-over is gone."""
        result, *now_ms = await self._run("takeover_load_begin", takeover, time_ms)
        return int(now_ms[0]) if result == b"BEGUN" else None

    async def clear(self, takeover: BegunTakeover) -> bool:
        """Drop every key of the shard but its state; False if the take-over is gone."""
        cursor = b"0"
        while True:
            result, *cursors = await self._run("takeover_load_clear", takeover, cursor)
            if result != b"CLEARED":
                return False
            (cursor,) = cursors
            if cursor == b"0":
                return True

    async def write_part(self, takeover: BegunTakeover, number: int, sales: Sequence[SalePart]) -> bool:
        """Write part `number`, from 1; False if the take-over, or the part before, is gone."""
        keys: list[str] = []
        arguments: list[Argument] = [number]
        for sale in sales:
            keys += sale_keys(takeover.shard, sale.sale)
            _add_sale(arguments, sale)
        keys += [adjustments_key(takeover.shard, sale.sale) for sale in sales]
        (result,) = await self._run("takeover_load_part", takeover, *arguments, keys=keys)
        return result in (b"WRITTEN", b"DONE")

    async def finish_load(self, takeover: BegunTakeover, fenced: Fenced, time_ms: int, parts: int) -> bool:
        """Serve in the epoch of the fence; False if the take-over, or a part, is gone."""
        row, base = fenced
        state = (row.epoch, row.hash, time_ms, row.settled_epoch, row.settled_seq, row.shards, *base)
        (result,) = await self._run("takeover_load_finish", takeover, parts, *state)
        return bool(result == b"LOADED")

    async def _run(
        self, script: str, takeover: BegunTakeover, *arguments: Argument, keys: Sequence[str] = ()
    ) -> Sequence[Any]:
        own = (takeover.token, takeover.identity)
        all_keys = (*shard_keys(takeover.shard), *keys)
        for sends_left in reversed(range(SENDS)):
            try:
                return await self._scripts.run(script, takeover.shard, all_keys, (*own, *arguments))
            except ShardNotServing as error:
                raise unavailable(takeover.shard, error) from error
            except OutcomeUnknown:
                if not sends_left:
                    raise
        raise AssertionError("the last send returns or raises")


def _add_sale(arguments: list[Argument], part: SalePart) -> None:
    """Add a sale's part to the arguments of takeover_load_part.lua."""
    holds = [record for record in part.records if record.state == HELD]
    due_ms = part.release_ms or min((record.expire_ms for record in holds), default=0)
    arguments.append(due_ms if holds else "")
    fields: list[Argument] = ["settings", bytes_from_settings(part.settings)] if part.settings else []
    for sku, available, held, sold, limit in part.items:
        fields += (f"item:{sku}", f"{available} {held} {sold}{f' {limit}' if limit else ''}")
    records = [value for record in part.records for value in (record.reservation_id, bytes_from_record(record))]
    ends = [value for record in holds for value in (record.expire_ms, record.reservation_id)]
    buyers = [value for buyer, held, sold in part.buyers for value in (buyer, f"{held} {sold}")]
    adjustments = [value for made in part.adjustments for value in (made.adjustment_id, bytes_from_adjustment(made))]
    if part.adjustments:
        latest = part.adjustments[-1]
        adjustments += ("@", f"{latest.epoch}-{latest.seq}")  # as adjust_stock.lua keeps it
    for values in (fields, records, ends, buyers, adjustments):
        arguments.append(len(values))
        arguments += values


def bytes_from_record(record: LoadedRecord) -> bytes:
    """A record as `record_from_bytes` in lua/lib/record.lua reads it."""
    (_, state, revision, create_ms, update_ms, expire_ms, created_epoch, created_seq, created_index, epoch, seq, index,
     reason, fingerprint, note, claim, units) = record  # fmt: skip
    numbers = _RECORD.pack(
        state, _U32, revision, _U64, create_ms, _U64, update_ms, _U64, expire_ms, _U64, created_epoch, _U64,
        created_seq, _U32, created_index, _U64, epoch, _U64, seq, _U32, index, reason,
    )  # fmt: skip
    texts = _packed(fingerprint.encode()) + _packed(note.encode()) + _packed(claim)
    return numbers + texts + (_packed(units.encode()) if units else b"")


def bytes_from_adjustment(adjustment: LoadedAdjustment) -> bytes:
    """An adjustment as adjust_stock.lua reads it."""
    values = [
        _packed(value.encode()) if isinstance(value, str) else _NUMBER.pack(_I64, value) for value in adjustment[1:]
    ]
    return b"".join(values)


def bytes_from_settings(settings: StoredSettings) -> bytes:
    """The settings as `bytes_from_settings` in lua/lib/make_sale.lua packs them."""
    *numbers, title, fingerprint, release_reason = settings
    tagged = [value for number in numbers for value in (_I64, number)]
    return _SETTINGS.pack(*tagged) + b"".join(_packed(text.encode()) for text in (title, fingerprint, release_reason))


def _packed(text: bytes) -> bytes:
    return _TEXT.pack(_STR, len(text)) + text
