"""A script as it is sent has numbers in the place of constants; all else stays, so that errors name the right line."""

from inventory_service.adapters.redis.scripts import with_numbers


def test_constants_become_numbers_but_not_in_strings_comments_and_fields() -> None:
    """A result may be named like a state."""
    text = (
        "local HELD, SOLD,\n  GONE = 1, 2, 3 -- HELD, and a tail\nlocal NAME = 'x'\nlocal FIRST = HELD + 1\n"
        "--[[ HELD\n]] return {'HELD', HELD, SOLD + row[GONE], row.HELD, NAME, FIRST} -- HELD"
    )

    assert with_numbers(text) == (
        "\n -- HELD, and a tail\nlocal NAME = 'x'\nlocal FIRST = 1 + 1\n"
        "--[[ HELD\n]] return {'HELD', 1, 2 + row[3], row.HELD, NAME, FIRST} -- HELD"
    )
