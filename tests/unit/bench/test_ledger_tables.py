"""What the ledger's figures come to beside their goals, and a drain beside unary calls."""

from typing import Any

import pytest

from bench.ledger_tables import goals_table
from bench.persister_drain import Drain, Round, figures

MEMORY = {"mib": {name: {"most": 90.0} for name in ("serve", "relay", "persist", "compensate", "valkey")}}
RESULTS: dict[str, Any] = {
    "lag": {"rate": 2000.0, "lag_ms": {"p99": 500.0}},
    "hold-memory": {"bytes_a_hold": {"together": 450.0}},
    "memory": {**MEMORY, "mib": {**MEMORY["mib"], "valkey": {"most": 900.0}}},
}
TOO_MUCH: dict[str, Any] = {
    "lag": {"rate": 2000.0, "lag_ms": {"p99": 501.0}},
    "hold-memory": {"bytes_a_hold": {"together": 451.0}},
    "memory": {"mib": {**MEMORY["mib"], "persist": {"most": 301.0}}},
}


def drained(*rates: tuple[float, float, float]) -> dict[str, Any]:
    """What rounds come to, of unary calls, this build and the other one."""
    rounds = [
        Round(unary, {"this": Drain(this, 20.0, 19.0, 200.0), "other": Drain(other, 40.0, 19.0, 180.0)})
        for unary, this, other in rates
    ]
    return {**figures(rounds), "other_commit": "c942d95919"}


def test_a_drain_stands_in_proportion_to_what_its_round_had() -> None:
    """A round on a slower machine counts as much as one on a faster machine."""
    this = drained((1000, 2000, 1000), (10, 20, 10), (500, 800, 500))["builds"]["this"]

    assert this["of_unary"]["median"] == 2.0
    assert this["of_other"]["median"] == 2.0
    assert this["persister_us"]["median"] == 20.0


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ({**RESULTS, "drain": drained((1000, 1600, 1000))}, " met"),
        ({**TOO_MUCH, "drain": drained((1000, 1490, 1000))}, " **missed**"),
    ],
)
def test_each_goal_is_met_or_missed(results: dict[str, Any], verdict: str) -> None:
    """A row says which; a server that is not Holdfast's may take what it needs."""
    rows = goals_table(results)[2:]

    assert len(rows) == 5
    assert [row for row in rows if not row.removesuffix(" |").endswith(verdict)] == []


def test_a_goal_whose_figure_was_not_taken_has_no_row() -> None:
    """An earlier build is not always at hand."""
    assert goals_table({"lag": RESULTS["lag"]})[2:] == [
        "| p99 of the lag at 2,000 calls a second, ms | at most 500, at 2,000 calls a second | 500 | met |"
    ]
