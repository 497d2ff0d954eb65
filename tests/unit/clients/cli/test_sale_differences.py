"""What of a sale differs from its description, by each setting and by the state that an operator has given it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from holdfast.cli.sale_differences import plan, written
from holdfast.cli.sale_files import State, WantedSale
from holdfast.inventory.v1.sale_pb2 import Sale, SaleState

from tests.unit.clients.cli.command import NOON

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FOUND: dict[str, Any] = {
    "sale_id": "lamps",
    "title": "Lamps",
    "start_time": NOON,
    "hold_ttl": 10 * MINUTE,
    "max_hold_ttl": 10 * MINUTE,
    "state": SaleState.SALE_STATE_OPEN,
}


def steps(found: dict[str, Any], settings: dict[str, Any], state: State | None = None) -> list[tuple[Any, ...]]:
    wanted = WantedSale("lamps", settings, {}, state)  # type: ignore[arg-type]
    return [step[1:4] for step in plan(wanted, Sale(**{**FOUND, **found}), with_stock=True).steps]


@pytest.mark.parametrize(
    ("settings", "found", "differs"),
    [
        ({"title": "Bulbs"}, {}, ("Lamps", "Bulbs")),
        ({"title": None}, {}, ("Lamps", "")),
        ({"title": None}, {"title": ""}, None),
        ({"start_time": NOON + HOUR}, {}, ("2026-11-27T12:00:00Z", "2026-11-27T13:00:00Z")),
        ({"start_time": None}, {"state": SaleState.SALE_STATE_SCHEDULED}, ("2026-11-27T12:00:00Z", "now")),
        ({"start_time": None}, {}, None),
        ({"end_time": NOON + HOUR}, {}, (None, "2026-11-27T13:00:00Z")),
        ({"end_time": None}, {"end_time": NOON + HOUR}, ("2026-11-27T13:00:00Z", None)),
        ({"end_time": None}, {}, None),
        ({"hold_ttl": timedelta(0)}, {}, ("10m", "0")),
        ({"hold_ttl": None}, {"hold_ttl": MINUTE}, ("1m", "10m")),
        ({"max_hold_ttl": HOUR}, {}, ("10m", "1h")),
        ({"max_hold_ttl": None}, {"max_hold_ttl": HOUR}, ("1h", "10m")),
        ({"max_hold_ttl": None}, {"hold_ttl": HOUR, "max_hold_ttl": HOUR}, None),
        ({"buyer_limit": 5}, {}, (0, 5)),
        ({"buyer_limit": None}, {"buyer_limit": 5}, (5, 0)),
        ({"attempts_per_minute": None}, {"attempts_per_minute": 5}, (5, 0)),
        ({"return_window": 14 * 24 * HOUR}, {}, ("0", "14d")),
        ({"return_window": None}, {}, None),
        ({}, {"title": "Any", "end_time": NOON + HOUR, "buyer_limit": 3, "return_window": HOUR}, None),
    ],
)
def test_a_setting_differs_by_its_value(
    settings: dict[str, Any], found: dict[str, Any], differs: tuple[Any, ...] | None
) -> None:
    """None is what a server makes of a setting that is unset; one that the file does not name never differs."""
    assert steps(found, settings) == ([(*settings, *differs)] if differs else [])


@pytest.mark.parametrize("hold_ttl", [timedelta(0), MINUTE, HOUR])
def test_the_longest_hold_follows_the_usual_one_where_both_change(hold_ttl: timedelta) -> None:
    """As a server makes it of a sale whose longest hold is unset, no holds at all included."""
    changed = steps({"max_hold_ttl": 2 * HOUR}, {"hold_ttl": hold_ttl, "max_hold_ttl": None})

    assert changed == [("hold_ttl", "10m", written(hold_ttl)), ("max_hold_ttl", "2h", written(hold_ttl))]


@pytest.mark.parametrize(
    ("found", "is_now"),
    [
        ({}, State.OPEN),
        ({"paused": True, "state": SaleState.SALE_STATE_PAUSED}, State.PAUSED),
        ({"paused": True, "state": SaleState.SALE_STATE_SCHEDULED}, State.PAUSED),
        ({"state": SaleState.SALE_STATE_ENDED}, State.OPEN),
        ({"paused": True, "state": SaleState.SALE_STATE_CLOSED}, State.CLOSED),
        ({"state": SaleState.SALE_STATE_ARCHIVED}, State.CLOSED),
    ],
)
@pytest.mark.parametrize("wanted", [None, *State])
def test_the_state_is_what_an_operator_has_decided(found: dict[str, Any], is_now: State, wanted: State | None) -> None:
    """A sale that has not begun, or has ended, is open for that matter; one that the file leaves open never differs."""
    changes = [] if wanted in (None, is_now) else [("state", str(is_now), str(wanted))]
    assert steps(found, {}, wanted) == changes


def test_values_are_written_as_a_file_has_them() -> None:
    """So that what is printed can be copied into one."""
    moment = datetime(2026, 11, 27, 12, 0, 0, 123_000, tzinfo=UTC)
    length = timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)

    assert (written(moment), written(length), written(timedelta(0))) == ("2026-11-27T12:00:00.123Z", "1d2h3m4s5ms", "0")
