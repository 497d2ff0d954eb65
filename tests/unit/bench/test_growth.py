"""Growth: the sizes that are measured, and what a point's rounds come to."""

import argparse
import json
from pathlib import Path

from bench.growth import begun, in_order, sizes_to, summed_up


def test_sizes_grow_by_one_factor_up_to_the_last() -> None:
    """A trial run stops earlier, and still has a size."""
    assert sizes_to(10_000, most=10**6) == [1, 10, 100, 1000, 10_000]
    assert sizes_to(10_000, most=50) == [1, 10]
    assert sizes_to(4, most=10**6, factor=2) == [1, 2, 4]
    assert sizes_to(10**6, most=1, first=1000) == [1000]


def test_a_point_is_the_median_of_its_rounds() -> None:
    """With quartiles, so that two points can be told from noise."""
    others = {"valkey": 20.0, "calls_per_s": 1000.0, "a_call": 8.0}
    rounds = [{"serve": 90.0 + number, **others} for number in range(5)]

    point = summed_up(rounds)

    assert point["cpu_us"] == {"serve": 92.0, "valkey": 20.0}
    assert point["quartiles"]["serve"] == [91.0, 93.0]
    assert point["requests_a_script_call"] == 8.0


def test_a_run_adds_to_one_of_the_same_kind(tmp_path: Path) -> None:
    """What takes long can be measured in pieces; points of other rounds are not mixed with these."""
    file, one, other = (
        tmp_path / "growth.json",
        argparse.Namespace(seconds=1.0, rounds=5, most=10),
        argparse.Namespace(),
    )
    vars(other).update(vars(one), rounds=3)
    first = begun(file, one)
    first |= {"points": {"sales": [{"of": 1}]}, "runs": {"sales": {"command": "a", "taken": "then"}}}
    file.write_text(json.dumps(first))

    again = begun(file, one)
    assert again["points"] == {"sales": [{"of": 1}]}
    assert again["runs"]["sales"] == {"command": "a", "taken": "then"}
    assert begun(file, other)["points"] == {}
    assert begun(file, other)["runs"] == {}


def test_kinds_lie_in_the_order_of_a_whole_run() -> None:
    """Whichever was measured first."""
    assert list(in_order({"workers": [], "sales": []})) == ["sales", "workers"]
