"""A call to a script on sales of one shard: the keys that it names, and how the shard stood at its end."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from inventory_service.adapters.redis.keys import sale_keys, shard_keys
from inventory_service.domain.keys import Position, SaleKey

Values = Sequence[Any]  # of a reply: bytes, numbers, and lists of these


class CallHead(NamedTuple):
    """How a shard stood at the end of a call."""

    shard: int
    now_ms: int
    epoch: int
    seq: int
    settled: tuple[int, int]

    def position(self, seq: int, index: int = 0) -> Position:
        """A position in the epoch of the call."""
        return Position(self.shard, self.epoch, seq, index)


Reply = tuple[CallHead, Any]  # and the script's result or results


def split_reply(shard: int, reply: Values) -> Reply:
    """Take a reply apart, as `reply_of` in lua/lib/shard.lua puts it together."""
    now_ms, epoch, seq, settled_epoch, settled_seq, results = reply
    return CallHead(shard, now_ms, epoch, seq, (settled_epoch, settled_seq)), results


def keys_of(shard: int, sales: Iterable[SaleKey]) -> list[str]:
    """Spell the keys of a call: the shard's, then each sale's."""
    keys: list[str] = [*shard_keys(shard)]
    for sale in sales:
        keys += sale_keys(shard, sale)
    return keys


def number_sales(sales: Iterable[SaleKey]) -> dict[SaleKey, int]:
    """Number the sales of a call from 1, in the order in which each first appears."""
    return {sale: number for number, sale in enumerate(dict.fromkeys(sales), 1)}
