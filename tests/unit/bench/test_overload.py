"""The benchmark of a storm: its ratios, and what a confirm counts that fails."""

from bench.overload import STORM, USUAL, MeasuredSlice, confirm_ratio, figures, goals_are_met


def measured(goodput: float, latencies_ms: list[float], failed: int = 0) -> MeasuredSlice:
    return MeasuredSlice(goodput, goodput, latencies_ms, ["UNAVAILABLE"] * failed, 100.0)


def test_goals_are_of_goodput_and_of_the_p99_of_all_confirms() -> None:
    """Both are in proportion to the peak."""
    good = [{USUAL: measured(1000, [10.0] * 100), STORM: measured(800, [50.0] * 100)}] * 3
    less = [{**each, STORM: measured(790, [50.0] * 100)} for each in good]
    late = [{**each, STORM: measured(800, [50.0] * 98 + [51.0] * 2)} for each in good]

    assert [goals_are_met(rounds) for rounds in (good, less, late)] == [True, False, False]
    assert "goodput in the storm: 0.80 (0.80-0.80) of the peak's (goal: 0.8 or more)" in "\n".join(figures(good))


def test_confirms_that_fail_count_as_the_slowest() -> None:
    """One in a hundred may fail; of more the p99 is without end."""
    usual = measured(1000, [10.0] * 100)

    assert confirm_ratio([{USUAL: usual, STORM: measured(1000, [20.0] * 99, failed=1)}]) == 2.0
    assert confirm_ratio([{USUAL: usual, STORM: measured(1000, [20.0] * 98, failed=2)}]) == float("inf")
