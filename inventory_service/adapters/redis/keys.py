"""The only speller of Redis keys: each bears its shard's tag, so that a call's keys lie in one slot of a Cluster."""

from typing import NamedTuple

from inventory_service.domain.keys import SaleKey


class ShardKeys(NamedTuple):
    """What belongs to a shard; the first three KEYS of every script, in this order."""

    meta: str  # hash: epoch, seq, head, clock, owner, settled
    outbox: str  # stream: commits under the id <epoch>-<seq>
    due: str  # zset: every sale of the shard -> when the first of its holds ends, +inf if it has none


class SaleKeys(NamedTuple):
    """What belongs to a sale; four KEYS for each sale of a call, in this order."""

    sale: str  # hash: settings and the stock of each item
    reservations: str  # hash: id -> packed record
    expiry: str  # zset: id of a hold -> when it ends
    buyers: str  # hash: buyer -> units held and sold


def shard_keys(shard: int) -> ShardKeys:
    """Spell a shard's keys."""
    tag = f"holdfast:{{{shard}}}"
    return ShardKeys(f"{tag}:meta", f"{tag}:outbox", f"{tag}:due")


def sale_keys(shard: int, sale: SaleKey) -> SaleKeys:
    """Spell a sale's keys. No id can spell another's key: ids are made of letters, digits and `. _ : -`."""
    tag, name = f"holdfast:{{{shard}}}", str(sale)
    return SaleKeys(f"{tag}:sale:{name}", f"{tag}:reservations:{name}", f"{tag}:expiry:{name}", f"{tag}:buyers:{name}")


def sale_from_member(member: bytes) -> SaleKey:
    """Read a member of `due`."""
    tenant, _, sale_id = member.decode().partition("/")
    return SaleKey(tenant, sale_id)
