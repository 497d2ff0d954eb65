"""Lua and Python have the same lists: stored fields, moves, and the checks of a Reserve."""

import inspect
import re
from collections.abc import Callable

import pytest

from inventory_service.adapters.redis.reads import RecordReply
from inventory_service.adapters.redis.scripts import read_lua
from inventory_service.domain import adjustments, change_hold, reservation, reserve, sale_changes
from inventory_service.domain.moves import MOVES, REPLAYED, MoveKind
from inventory_service.domain.sale import SaleAction
from inventory_service.domain.shard_load import LoadedRecord, StoredSettings


def found(pattern: str, text: str) -> str:
    """The only match of a pattern's group."""
    (match,) = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return str(match)


def test_a_record_has_the_same_fields_in_lua_and_python() -> None:
    """Replies are read by position; the Claim's bytes are the one field that no reply has, and the units end each."""
    names, numbers = (
        found(r"^local (STATE,[^=]*)", read_lua("lib/record")),
        found(r"^local STATE,[^=]*= ([\d, \n]*)$", read_lua("lib/record")),
    )

    in_lua = [name.lower() for name in re.findall(r"\w+", names)]

    assert in_lua == [*RecordReply._fields[:-1], "claim", RecordReply._fields[-1]]
    assert LoadedRecord._fields == ("reservation_id", *in_lua)
    assert [int(number) for number in re.findall(r"\d+", numbers)] == list(range(1, len(in_lua) + 1))


def test_the_settings_of_a_sale_have_the_same_fields_in_lua_and_python() -> None:
    """They are packed, unpacked, replied and read in this order."""
    text, name = read_lua("lib/make_sale"), r"settings\.(\w+)"
    for_judging = re.findall(r"\w+", found(r"  local ([\w, \n]*) = cmsgpack.unpack", read_lua("lib/settings")))

    unpacked = re.findall(name, found(r"return end\n(.*?) = cmsgpack.unpack", text))
    packed = re.findall(name, found(r"cmsgpack.pack\((.*?)\)", text))

    assert tuple(unpacked) == tuple(packed) == StoredSettings._fields
    assert all(read in ("_", stored) for read, stored in zip(for_judging, packed, strict=True))


def test_the_table_of_moves_is_the_same_in_lua_and_python() -> None:
    """A move that only one of them has would pass every test that does not use it."""
    table = found(r"^local MOVES = \{\n(.*?)^\}", read_lua("lib/judge_move"))
    rows = re.findall(r"(\w+) = \{outcomes = \{(.*?)\}, sets_note = (\w+)\}", table, re.DOTALL)

    in_lua = {name: (_outcomes(outcomes), note == "true") for name, outcomes, note in rows}

    assert in_lua == {kind.value: (dict(MOVES[kind].outcomes), MOVES[kind].sets_note) for kind in MoveKind}


def _outcomes(text: str) -> dict[int, int]:
    pairs = re.findall(r"\[(\w+)\] = ('REPLAYED'|\w+)", text)
    return {_state(state): REPLAYED if outcome == "'REPLAYED'" else _state(outcome) for state, outcome in pairs}


def _state(name: str) -> int:
    return int(getattr(reservation, name))


@pytest.mark.parametrize(
    ("script", "function", "rule"),
    [
        ("reserve", "judge", reserve.judge),
        ("reserve", "judge_replay", reserve.judge_replay),
        ("change_hold", "judge", change_hold.judge_rises),
        ("change_sale", "judge", sale_changes.change_sale),
        ("adjust_stock", "judge", adjustments.adjust_stock),
    ],
    ids=["reserve", "replay", "change_hold", "change_sale", "adjust_stock"],
)
def test_a_request_passes_the_same_checks_in_the_same_order(
    script: str, function: str, rule: Callable[..., object]
) -> None:
    """The order of precedence decides which reason a caller gets."""
    lua = found(rf"^ *local function {function}\([^)]*\)\n(.*?)^ *end", read_lua(script))

    checks = re.compile(r"\b((?!has_|is_|read_)\w+)\(")  # not what only tells whether a check is needed
    assert checks.findall(lua) == re.findall(r"(\w+)\(", inspect.getsource(rule).split("return (")[1])


def test_an_act_on_a_sale_has_the_same_word_in_lua_and_python() -> None:
    """A word that the script does not know would change nothing, and say that it did not have to."""
    words = found(r"3 ([A-Z_ |]+) \| UPDATE", read_lua("change_sale"))

    assert words.split(" | ") == [action.value for action in SaleAction]
