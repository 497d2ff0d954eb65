"""Compares what the ledger has of one sale with itself: balances with entries, lines with states."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from inventory_service.domain.reconciliation import ItemInLedger
from inventory_service.domain.sale_reconciliation import AuditDifference


class OddLines(NamedTuple):
    """A reservation whose lines cannot be those of its state."""

    reservation_id: str
    state: str
    lines: str


def balance_differences(items: Sequence[ItemInLedger], has_left: bool) -> Iterator[AuditDifference]:
    """The ledger against itself: balances against entries, reservations and dead letters.

    In a sale that has left Redis nothing is held or refused.
    """
    left = {"a sale that has left Redis": 0} if has_left else {}
    for item in items:
        booked = {**item.entries, "total": -item.entries.get("external", 0)}
        sources: dict[str, tuple[int, dict[str, int]]] = {
            "total": (item.total, {}),
            "available": (item.available, {}),
            "held": (item.held, {"reservations": item.lines_held, **left}),
            "sold": (item.sold, {"reservations": item.lines_sold}),
            "refused": (item.refused, {"dead letters": item.lines_refused, **left}),
        }
        for account, (balance, more) in sources.items():
            sums = {"entries": booked.get(account, 0), **more}
            others = [f"{added} by {source}" for source, added in sums.items() if added != balance]
            if others:
                yield AuditDifference(f"ledger item {item.sku} {account}", str(balance), ", ".join(others))


def line_differences(odd: Iterable[OddLines]) -> Iterator[AuditDifference]:
    """The ledger against itself: lines against states."""
    for each in odd:
        yield AuditDifference(f"ledger reservation {each.reservation_id} lines", each.state, each.lines)
