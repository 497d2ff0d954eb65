"""The comparison of what buyers hold and own: in all, and of items of which one buyer may have so many."""

from inventory_service.domain.buyer_reconciliation import LedgerBuyer, judge_buyers
from inventory_service.domain.sale_reconciliation import TakenUnits

BOB = LedgerBuyer({"lamp": TakenUnits(2, 1), "shade": TakenUnits(0, 4)}, {"lamp"}, has_changed=False)


def test_a_buyers_units_are_compared_in_all_and_by_limited_item() -> None:
    """Each subject names the buyer, and the item where there is one."""
    equal = {"bob": TakenUnits(2, 5), "bob/lamp": TakenUnits(2, 1)}
    other = {"bob": TakenUnits(3, 5), "bob/lamp": TakenUnits(2, 0), "eve": TakenUnits(0, 1)}

    assert judge_buyers(equal, equal, {"bob": BOB}) == ([], 2, [])
    assert judge_buyers(other, other, {"bob": BOB}).differences == [
        ("buyer bob held", "3", "2"),
        ("buyer bob item lamp sold", "0", "1"),
        ("buyer eve sold", "1", "0"),
    ]


def test_what_redis_lacks_is_nothing_and_so_is_an_item_without_a_limit() -> None:
    """Redis keeps no buyer without units, and by item only what is limited."""
    assert judge_buyers(["bob"], {}, {"bob": BOB}).differences == [
        ("buyer bob held", "0", "2"),
        ("buyer bob sold", "0", "5"),
    ]
    assert judge_buyers(["bob/shade"], {"bob/shade": TakenUnits(0, 4)}, {"bob": BOB}).differences == [
        ("buyer bob item shade sold", "4", "0")
    ]
    assert judge_buyers(["eve"], {}, {}) == ([], 0, [])


def test_a_buyer_whose_orders_have_changed_since_is_read_again() -> None:
    """The ledger is ahead of what was read in Redis."""
    judged = judge_buyers(["bob"], {"bob": TakenUnits(9, 9)}, {"bob": BOB._replace(has_changed=True)})

    assert judged == ([], 0, ["bob"])
