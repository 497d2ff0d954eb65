"""A script call on sales of one shard: its keys, and the state of the shard in its reply."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from inventory_service.adapters.redis.keys import sale_keys, shard_keys
from inventory_service.domain.keys import Position, SaleKey

Values = Sequence[Any]  # of a reply: bytes, numbers, and lists of these


class CallHead(NamedTuple):
    """The state of a shard at the end of a call."""

    shard: int
    now_ms: int
    epoch: int
    seq: int
    settled: tuple[int, int]

    def position(self, seq: int, index: int = 0) -> Position:
        """A position in the epoch of the call."""
        return Position(self.shard, self.epoch, seq, index)


Reply = tuple[CallHead, list[Any]]  # and the values of the script's result, or its results


def split_reply(shard: int, reply: Values) -> Reply:
    """Parse a reply as `reply_of` in lua/lib/shard.lua builds it."""
    now_ms, epoch, seq, settled_epoch, settled_seq, *results = reply
    return CallHead(shard, now_ms, epoch, seq, (settled_epoch, settled_seq)), results


def keys_of(shard: int, sales: Iterable[SaleKey]) -> list[str]:
    """The keys of a call: the shard's, then each sale's."""
    keys: list[str] = [*shard_keys(shard)]
    for sale in sales:
        keys += sale_keys(shard, sale)
    return keys


def number_sales(sales: Iterable[SaleKey]) -> dict[SaleKey, int]:
    """Number the sales of a call from 1, in the order in which each first appears."""
    return {sale: number for number, sale in enumerate(dict.fromkeys(sales), 1)}
