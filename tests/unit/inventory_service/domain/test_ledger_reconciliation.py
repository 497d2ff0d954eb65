"""The comparison of the ledger with itself, for one sale."""

from inventory_service.domain.ledger_reconciliation import OddLines, balance_differences, line_differences
from inventory_service.domain.reconciliation import ItemInLedger


def test_the_ledger_is_compared_with_itself() -> None:
    """Each balance says by what it differs; only in a sale that has left Redis nothing may be held."""
    entries = {"external": -10, "available": 8, "sold": 2}
    equal = ItemInLedger("lamp", 10, 8, 0, 2, 0, entries, 0, 2, 0)
    odd = equal._replace(available=7, held=1, lines_sold=3)

    assert list(balance_differences([equal], has_left=True)) == []
    assert list(balance_differences([odd], has_left=True)) == [
        ("ledger item lamp available", "7", "8 by entries"),
        ("ledger item lamp held", "1", "0 by entries, 0 by reservations, 0 by a sale that has left Redis"),
        ("ledger item lamp sold", "2", "3 by reservations"),
    ]
    held = equal._replace(available=7, held=1, entries={**entries, "available": 7, "held": 1}, lines_held=1)
    assert list(balance_differences([held], has_left=False)) == []
    assert list(balance_differences([held], has_left=True)) == [
        ("ledger item lamp held", "1", "0 by a sale that has left Redis")
    ]
    assert list(line_differences([OddLines("r-1", "RELEASED", "lamp 2 claimed, 2 sold, 0 came back")])) == [
        ("ledger reservation r-1 lines", "RELEASED", "lamp 2 claimed, 2 sold, 0 came back")
    ]
