"""The statements of lists: each orders ids by their characters, whatever language the database sorts by."""

import re
from importlib.resources import files

SQL = files("inventory_service.adapters.ledger").joinpath("lists.sql").read_text(encoding="utf-8")
ID = r"\b(?:\w\.)?(?:tenant|sale_id|reservation_id|buyer_id|sku)\b"


def test_every_order_and_key_of_ids_is_of_the_collation_c() -> None:
    """A language's order changes with the server's language data, and its index would not serve; `C` stays."""
    orders = re.findall(rf"{ID}[^,]* desc", SQL)
    keys = re.findall(r"\((create_time,[^)]*)\)\s*<", SQL)
    ids = [part for key in keys for part in key.split(", ") if re.match(ID, part)]

    assert (len(orders), len(keys), len(ids)) == (6, 5, 4)
    assert [each for each in [*orders, *ids] if 'collate "C"' not in each] == []
