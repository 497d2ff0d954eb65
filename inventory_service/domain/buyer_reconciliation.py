"""Compares what the buyers of a sale hold and own in Redis with the ledger, as sale_reconciliation.py does."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from inventory_service.domain.sale_reconciliation import AuditDifference, Judged, TakenUnits
from inventory_service.domain.shards import CommitId


class BuyersPage(NamedTuple):
    """What some buyers have in Redis, with the head of the shard at that moment."""

    head: CommitId
    hash: str
    cursor: int  # of the next page; 0: this was the last
    frozen_reason: str  # '': the shard is not frozen
    units: Mapping[str, TakenUnits]  # by the buyer, or by `name_of_limited`


class LedgerBuyer(NamedTuple):
    """What a buyer has of a sale in the ledger, and whether an order of the buyer has changed after a commit."""

    by_sku: dict[str, TakenUnits]
    limited: set[str]  # the SKUs of which one buyer may have so many
    has_changed: bool

    def units_of(self, sku: str) -> TakenUnits:
        """Those of a limited item, or of all items if `sku` is ''."""
        if not sku:
            return sum(self.by_sku.values(), TakenUnits())
        return self.by_sku.get(sku, TakenUnits()) if sku in self.limited else TakenUnits()


def judge_buyers(names: Iterable[str], redis: Mapping[str, TakenUnits], ledger: Mapping[str, LedgerBuyer]) -> Judged:
    """Compare what buyers have in Redis with what their orders have in the ledger, refused ones included."""
    judged, compared = Judged([], 0, []), 0
    for name in names:
        buyer_id, _, sku = name.partition("/")
        buyer, stored = ledger.get(buyer_id, LedgerBuyer({}, set(), has_changed=False)), redis.get(name, TakenUnits())
        if buyer.has_changed:
            judged.again.append(name)
            continue
        compared += name in redis
        subject, recorded = f"buyer {buyer_id} item {sku}" if sku else f"buyer {buyer_id}", buyer.units_of(sku)
        for account, redis_value, ledger_value in zip(TakenUnits._fields, stored, recorded, strict=True):
            if redis_value != ledger_value:
                judged.differences.append(AuditDifference(f"{subject} {account}", str(redis_value), str(ledger_value)))
    return judged._replace(compared=compared)
