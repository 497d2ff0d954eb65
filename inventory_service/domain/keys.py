"""What names things: a sale's key, which also decides its shard, a buyer's, and a position in a shard's commits."""

import zlib
from functools import lru_cache
from typing import NamedTuple


class SaleKey(NamedTuple):
    """Names a sale of a tenant; its text form also decides the shard."""

    tenant: str
    sale_id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.sale_id}"


class BuyerKey(NamedTuple):
    """Names a buyer of a tenant."""

    tenant: str
    buyer_id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.buyer_id}"


class Position(NamedTuple):
    """Where a change stands; compares in the order of its shard."""

    shard: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used here


@lru_cache(maxsize=4096)  # called for every request
def shard_of(sale: SaleKey, shards: int) -> int:
    """The shard in which a sale lives, for good; `shards` is N."""
    return zlib.crc32(str(sale).encode()) % shards
