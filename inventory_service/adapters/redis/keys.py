"""Builds every Redis key: the hash tag is that of a shard, so that the keys of a call are in one slot of a Cluster."""

from typing import NamedTuple

from inventory_service.domain.keys import SaleKey

REVOCATIONS_KEY = "holdfast:{auth}:revocations"  # stream: of the whole installation, under a hash tag of its own


class ShardKeys(NamedTuple):
    """The keys of a shard; the first three KEYS of every script, in this order."""

    meta: str  # hash: epoch, seq, head, clock, owner, settled
    outbox: str  # stream: commits under the id <epoch>-<seq>
    due: str  # zset: every sale of the shard -> the end of its earliest hold, +inf if it has none


class SaleKeys(NamedTuple):
    """The keys of a sale; four KEYS for each sale of a call, in this order."""

    sale: str  # hash: settings, the stock of each item, and the last commit about the sale
    reservations: str  # hash: id -> packed record
    expiry: str  # zset: id of a hold -> its end
    buyers: str  # hash: buyer -> units held and sold


def adjustments_key(shard: int, sale: SaleKey) -> str:
    """The key of a sale's adjustments, a hash: id -> packed adjustment. Only the calls that need it are given it."""
    return f"holdfast:{{{shard}}}:adjustments:{sale}"


def shard_keys(shard: int) -> ShardKeys:
    """The keys of a shard."""
    tag = f"holdfast:{{{shard}}}"
    return ShardKeys(f"{tag}:meta", f"{tag}:outbox", f"{tag}:due")


def blocked_key(shard: int) -> str:
    """The hash with a shard's copy of blocked buyers: tenant/buyer -> a version of the ledger's list."""
    return f"holdfast:{{{shard}}}:blocked"


def sale_keys(shard: int, sale: SaleKey) -> SaleKeys:
    """The keys of a sale. Two sales never share a key: the `/` between tenant and id is allowed in neither."""
    tag, name = f"holdfast:{{{shard}}}", str(sale)
    return SaleKeys(f"{tag}:sale:{name}", f"{tag}:reservations:{name}", f"{tag}:expiry:{name}", f"{tag}:buyers:{name}")


def attempts_keys(shard: int, sale: SaleKey) -> tuple[str, str]:
    """Two hashes of a sale, for even and odd minutes: buyer -> moments at which it was judged."""
    tag, name = f"holdfast:{{{shard}}}", str(sale)
    return f"{tag}:attempts-even:{name}", f"{tag}:attempts-odd:{name}"


def sale_from_member(member: bytes) -> SaleKey:
    """Parse a member of `due`."""
    tenant, _, sale_id = member.decode().partition("/")
    return SaleKey(tenant, sale_id)
