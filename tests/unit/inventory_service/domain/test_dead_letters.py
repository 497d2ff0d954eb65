"""The ids of dead letters."""

import pytest

from inventory_service.domain.dead_letters import created_from, dead_letter_id
from inventory_service.domain.keys import Position


@pytest.mark.parametrize("created", [Position(0, 1, 1, 0), Position(15, 3, 9_000_000_000, 127)])
def test_a_dead_letter_is_named_by_where_its_order_was_made(created: Position) -> None:
    """Reservation ids come again, positions do not."""
    assert dead_letter_id(created) == "-".join(map(str, created))
    assert created_from(dead_letter_id(created)) == created


@pytest.mark.parametrize(
    "text",
    [
        *("", "0-1-1", "0-1-1-0-0", "00-1-1-0", "0-01-1-0", "-1-1-1-0", "0-1-1-x", " 0-1-1-0", "0-1-1-0\n"),
        *("\u0660-1-1-0", "9" * 5000, "2147483648-1-1-0", "0-9223372036854775808-1-0", "0-1-9223372036854775808-0"),
        "0-1-1-2147483648",
    ],
)
def test_what_no_dead_letter_is_called_names_none(text: str) -> None:
    """Each has one spelling, and what the ledger's columns cannot hold is never asked of it."""
    assert created_from(text) is None
