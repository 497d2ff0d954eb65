"""How the `holdfast` command reads lengths of time, moments and units, and how it spells a length of time."""

from datetime import UTC, datetime, timedelta

import pytest
import typer
from holdfast.cli.parsing import duration, moment, units
from holdfast.cli.render import spelled


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("250ms", 0.25), ("1.5s", 1.5), ("0", 0)]
)
def test_a_duration_is_numbers_with_units(text: str, seconds: float) -> None:
    """Every number has a unit, except zero."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["10", "m10", "10 m", "-5s", "", "5x", "1h-5m"])
def test_text_that_is_no_duration_is_rejected(text: str) -> None:
    """No unit is assumed."""
    with pytest.raises(typer.BadParameter):
        duration(text)


def test_moments_are_local_unless_they_name_their_zone() -> None:
    """Local is the time zone of the machine on which the command runs."""
    assert moment("2026-11-27T10:00+00:00").time == datetime(2026, 11, 27, 10, tzinfo=UTC)
    assert moment("2026-11-27T10:00").time == datetime(2026, 11, 27, 10).astimezone()
    with pytest.raises(typer.BadParameter):
        moment("noon")


def test_units_name_each_sku_once() -> None:
    """Two amounts for one SKU are more likely a mistake than a sum."""
    assert units(["lamp=2", "shade=10"]) == {"lamp": 2, "shade": 10}
    for wrong in (["lamp"], ["lamp="], ["=2"], ["lamp=-1"], ["lamp=1", "lamp=2"]):
        with pytest.raises(typer.BadParameter):
            units(wrong)


@pytest.mark.parametrize(
    ("length", "text"),
    [(timedelta(minutes=10), "10 min"), (timedelta(seconds=3725), "1 h 2 min"), (timedelta(seconds=-1), "0 s")],
)
def test_a_length_of_time_is_shown_in_its_two_largest_units(length: timedelta, text: str) -> None:
    """More digits would only hide the ones that matter."""
    assert spelled(length) == text
