"""A script as it is sent makes no function that it cannot reach, and rare ones in the call that needs them."""

from inventory_service.adapters.redis.lua_functions import with_needed_functions

HELPERS = "local function add(a)\n  return a + 1\nend\nlocal function unused(a)\n  return add(a)\nend\n"


def test_a_function_that_nothing_reaches_is_left_out() -> None:
    """Strings, comments and fields that are named like it do not call it."""
    text = f"#!lua\n{HELPERS}return add(row.unused), 'unused' -- unused(1)"

    assert "--[[unused]] function" not in with_needed_functions(text)
    assert "--[[add]] function" in with_needed_functions(text)


def test_every_call_finds_its_function_in_the_table() -> None:
    """A field of another table, a comment and a string may be named like a function."""
    text = "#!lua\nlocal function add(a)\n  return a\nend\nreturn add(row.add(1)) .. 'add(1)' -- add(1)"

    assert with_needed_functions(text) == (
        "#!lua\nlocal F\nF = {\n--[[add]] function(a)\n  return a\nend\n}\n\n"
        "return F[1](row.add(1)) .. 'add(1)' -- add(1)"
    )


def test_variables_of_the_script_are_declared_before_its_functions() -> None:
    """They get their values where they did, and others stay in the block that has them."""
    text = (
        "#!lua\nlocal a, b = 1, {}\nlocal function first()\n  local x = a\n  return x + b[1]\nend\n"
        "local later\nif a then\n  local inner = 2\nend\nlocal c = first()"
    )

    assert with_needed_functions(text) == (
        "#!lua\nlocal F, a, b, later, c\nF = {\n--[[first]] function()\n  local x = a\n  return x + b[1]\nend\n}\n"
        "a, b = 1, {}\n\n\nif a then\n  local inner = 2\nend\nc = F[1]()"
    )


def test_rare_functions_are_made_with_all_that_only_they_need_when_one_is_called() -> None:
    """A function that others need too is made at once."""
    text = (
        "#!lua\n--[[\nLater  rare ]]\nlocal function shared()\n  return 1\nend\n"
        "local function its_own()\n  return 2\nend\n"
        "local function rare()\n  return shared() + its_own()\nend\nlocal x = shared()\nif x > 1 then\n  rare()\nend"
    )

    made = with_needed_functions(text)

    at_once, _, later = made.partition("setmetatable(F, {__index = function(F, at)\n")
    assert "--[[shared]] function" in at_once
    assert later.startswith("if at >= 2 and at < 4 then\nF[2] = --[[its_own]] function")
    assert "F[3] = --[[rare]] function" in later
    assert later.endswith("if x > 1 then\n  F[3]()\nend")
