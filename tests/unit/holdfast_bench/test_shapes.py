"""Shapes: those that come with Holdfast, and what is wrong with a file that is none."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from holdfast_bench.load import Load
from holdfast_bench.shapes import BadShape, all_shapes, find_shape, shape_from

SOUND: dict[str, Any] = tomllib.loads("""
title = "Two waves"
summary = "Callers, and a rate that grows."
[sales]
count = 2
items = 3
[request]
lines = 3
[[load]]
seconds = 4
callers = 10
[[load]]
after_s = 1
seconds = 6
rate = 100
to_rate = 300
""")


def test_the_shapes_are_those_of_the_docs() -> None:
    """Each file is read, which validates it."""
    names = {shape.name for shape in all_shapes()}

    assert names == {"steady", "spike", "ramp", "sold-out", "abundant", "many-sales", "cart"}


def test_a_shape_lasts_until_its_last_call() -> None:
    """Loads may begin later, and run beside each other."""
    assert shape_from("waves", SOUND).seconds == 7


def test_the_ramp_is_described_as_it_is_sent() -> None:
    """The rate grows in whole steps of a second, so the last second is a step below the rate of the end."""
    ramp = find_shape("ramp")
    [stretch] = ramp.stretches
    slope = Load("", "", 1, stretch.seconds, rate=stretch.rate, to_rate=stretch.to_rate).slope

    last = stretch.rate + slope * (stretch.seconds - 1)
    words = f"by {slope} calls a second, from {stretch.rate:g} to {last:,.0f}."
    assert ramp.summary.endswith(words)


def test_a_shape_can_be_scaled() -> None:
    """Times in proportion to the whole, callers and rates by a factor; at least one caller is left."""
    first, second = shape_from("waves", SOUND).scaled(0.01, seconds=3.5).stretches

    assert (first.seconds, first.callers, first.rate) == (2.0, 1, 0.0)
    assert (second.after_s, second.seconds, second.rate, second.to_rate) == (0.5, 3.0, 1.0, 3.0)


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("title",), "", "title must be a text"),
        (("load",), [], r"\[\[load\]\] must be there"),
        (("load",), [1], r"\[\[load\]\] 1 must be a table"),
        (("speed",), 1, "speed is unknown; there are title"),
        (("sales", "count"), 0, r"\[sales\]: count must be 1 to 10,000, and is 0"),
        (("sales", "count"), 1.5, "count must be a whole number, and is 1.5"),
        (("sales", "units"), True, "units must be a whole number"),
        (("request", "lines"), 4, "4 lines need as many items"),
        (("load", 0, "seconds"), "4", r"\[\[load\]\] 1: seconds must be a number, and is '4'"),
        (("load", 0, "rate"), 5, "either callers or rate"),
        (("load", 0, "callers"), 14, "callers above 10 must be a multiple of it"),
        (("load", 0, "to_rate"), 5, "to_rate needs rate"),
        (("load", 1, "rate"), float("nan"), "rate must be 1 to"),
    ],
)
def test_what_is_wrong_is_named(path: tuple[Any, ...], value: object, why: str) -> None:
    """By place, key and bound."""
    table: Any = copy.deepcopy(SOUND)
    *inner, last = path
    part = table
    for key in inner:
        part = part[key]
    part[last] = value

    with pytest.raises(BadShape, match=why):
        shape_from("waves", table)


def test_a_load_without_seconds_is_none() -> None:
    """There is no length that every load has."""
    with pytest.raises(BadShape, match="seconds must be given"):
        shape_from("waves", {**SOUND, "load": [{"callers": 1}]})


def test_a_shape_is_found_by_name_and_by_file(tmp_path: Path) -> None:
    """What is neither is answered with the names that there are."""
    (tmp_path / "mine.toml").write_text('title = "Mine"\nsummary = "One."\n[[load]]\nseconds = 1\ncallers = 1\n')
    (tmp_path / "bad.toml").write_text("title = ")

    assert find_shape("ramp").name == "ramp"
    assert find_shape(str(tmp_path / "mine.toml")).name == "mine"
    for name, why in (("rampe", "there are abundant, cart"), (str(tmp_path / "bad.toml"), r"bad\.toml: ")):
        with pytest.raises(BadShape, match=why):
            find_shape(name)
