"""The shard of a sale's key."""

from inventory_service.domain.keys import SaleKey, shard_of

SALE = SaleKey("default", "lamp-sale")


def test_the_shard_of_a_sale_never_changes() -> None:
    """Keys, partitions and rows depend on it, so the expected number is written down here."""
    assert shard_of(SALE, 16) == 12
    assert {shard_of(SaleKey("default", f"sale-{number}"), 16) for number in range(200)} == set(range(16))
