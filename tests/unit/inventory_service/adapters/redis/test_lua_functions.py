"""A script as it is sent makes no function that it cannot reach, and rare ones in the call that needs them."""

from inventory_service.adapters.redis.lua_functions import with_needed_functions

HELPERS = "local function add(a)\n  return a + 1\nend\nlocal function unused(a)\n  return add(a)\nend\n"


def test_a_function_that_nothing_reaches_is_left_out() -> None:
    """Strings, comments and fields that are named like it do not call it."""
    text = f"#!lua\n{HELPERS}return add(row.unused), 'unused' -- unused(1)"

    assert "function unused" not in with_needed_functions(text)
    assert "function add" in with_needed_functions(text)


def test_rare_functions_are_made_with_all_that_only_they_need_when_one_is_called() -> None:
    """A function that others need too is made at once."""
    text = (
        "#!lua\n--[[\nLater  rare ]]\nlocal function shared()\n  return 1\nend\n"
        "local function its_own()\n  return 2\nend\n"
        "local function rare()\n  return shared() + its_own()\nend\nlocal x = shared()\nif x > 1 then\n  rare()\nend"
    )

    made = with_needed_functions(text)

    at_once, _, later = made.partition("function make_later_1()")
    assert "function shared" in at_once
    assert "function its_own" in later
    assert "function rare" in later
    assert "\nlocal make_later_1, rare\n" in at_once
    assert "(rare or make_later_1() or rare)()" in later
