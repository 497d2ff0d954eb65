"""Growth: the sizes that are measured, and what a point's rounds come to."""

from bench.growth import sizes_to, summed_up


def testsizes_grow_by_one_factor_up_to_the_last() -> None:
    """A trial run stops earlier, and still has a size."""
    assert sizes_to(10_000, most=10**6) == [1, 10, 100, 1000, 10_000]
    assert sizes_to(10_000, most=50) == [1, 10]
    assert sizes_to(4, most=10**6, factor=2) == [1, 2, 4]
    assert sizes_to(10**6, most=1, first=1000) == [1000]


def test_a_point_is_the_median_of_its_rounds() -> None:
    """With quartiles, so that two points can be told from noise."""
    rounds = [{"serve": 90.0 + number, "valkey": 20.0, "calls_per_s": 1000.0, "a_call": 8.0} for number in range(5)]

    point = summed_up(rounds)

    assert point["cpu_us"] == {"serve": 92.0, "valkey": 20.0}
    assert point["quartiles"]["serve"] == [91.0, 93.0]
    assert point["requests_a_script_call"] == 8.0
