"""The comparison in pairs: the order of rounds, their repetition, and ratios that are taken within each."""

from collections.abc import Callable

import pytest

from bench.rounds import RoundDisturbed, TooManyDisturbed, quartiles, ratios, rotated, spread, take_rounds


def disturbed_in(*numbers: int) -> Callable[[int], str]:
    """Rounds of which some are disturbed."""

    def take(number: int) -> str:
        if number in numbers:
            raise RoundDisturbed("other work")
        return f"round {number}"

    return take


def test_every_server_is_measured_at_every_place_once() -> None:
    """The place matters: the first server after a pause runs on a cooler machine."""
    orders = [rotated(["no-op", "this", "twin"], number) for number in range(3)]

    assert [set(place) for place in zip(*orders, strict=True)] == [{"no-op", "this", "twin"}] * 3


def test_the_rotation_begins_again_after_the_last_server() -> None:
    """There may be more rounds than servers."""
    assert rotated(["a", "b", "c"], 4) == ["b", "c", "a"]


def test_a_disturbed_round_is_repeated_and_counted() -> None:
    """The number of disturbed rounds shows how quiet the machine was."""
    rounds, disturbed = take_rounds(3, 2, disturbed_in(2, 3))

    assert (rounds, disturbed) == (["round 1", "round 4", "round 5"], 2)


def test_a_busy_machine_ends_the_benchmark() -> None:
    """Otherwise a busy machine would repeat rounds without end, and the figures would be a selection."""
    with pytest.raises(TooManyDisturbed, match="3 rounds were disturbed, and 1 of 5 were not"):
        take_rounds(5, 2, disturbed_in(2, 3, 4))


def test_a_ratio_is_taken_within_each_round() -> None:
    """The machine becomes half as fast after the first round, and the ratio stays."""
    rounds = [{"no-op": 1000.0, "this": 800.0}, {"no-op": 500.0, "this": 400.0}]

    assert ratios(rounds, "this", "no-op", lambda calls_per_s: calls_per_s) == [0.8, 0.8]


def test_quartiles_lie_within_the_values() -> None:
    """They describe the rounds that were measured, and extrapolate to no others."""
    assert quartiles([5.0, 1.0, 3.0, 2.0, 4.0]) == (2.0, 3.0, 4.0)


def test_one_round_has_no_spread() -> None:
    """A trial run of one round prints its table too."""
    assert quartiles([7.0]) == (7.0, 7.0, 7.0)


def test_a_table_shows_the_median_and_the_quartiles() -> None:
    """The median first, then the quartiles."""
    assert spread([0.5, 1.0, 1.5, 2.0, 2.5], 2) == "1.50 (1.00-2.00)"
