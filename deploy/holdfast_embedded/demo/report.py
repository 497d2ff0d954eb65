"""What came of the demo's sale, as a table."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import ReservationState
from rich.console import Console
from rich.table import Table

from holdfast_embedded.demo.tally import Tally
from holdfast_embedded.demo.watch import Watch

ENDS = {
    "confirmed": ReservationState.RESERVATION_STATE_CONFIRMED,
    "released": ReservationState.RESERVATION_STATE_RELEASED,
    "expired": ReservationState.RESERVATION_STATE_EXPIRED,
    "compensated": ReservationState.RESERVATION_STATE_COMPENSATED,
}


class Outcome(NamedTuple):
    """What is reported."""

    tally: Tally
    watch: Watch
    states: Mapping[str, int]  # what became of each reservation
    selling_s: float
    drain_s: float


def print_table(console: Console, outcome: Outcome) -> None:
    """A fact a row."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    for name, value in {**_counts(outcome), **_times(outcome)}.items():
        table.add_row(name, value)
    console.print()
    console.print(table)
    console.print()


def _counts(outcome: Outcome) -> dict[str, str]:
    counts, item = outcome.tally.counts, outcome.watch.item
    ends = Counter(outcome.states.values())
    return {
        "asked": f"{counts['asked']:,}",
        "held": f"{len(outcome.states):,}",
        **{name: f"{ends[state]:,}" for name, state in ENDS.items()},
        "answered sold out": f"{counts['sold out']:,}",
        "replayed": f"{counts['replayed']:,}",
        "replies lost on purpose": f"{counts['lost replies']:,}",
        "units sold": f"{item.sold:,} of {item.total:,}",
    }


def _times(outcome: Outcome) -> dict[str, str]:
    tally, lag = outcome.tally, outcome.watch.lag
    return {
        "latency p50 / p95 / p99": " / ".join(f"{tally.percentile_ms(share):.1f} ms" for share in (0.5, 0.95, 0.99)),
        "calls a second": f"{tally.calls / outcome.selling_s:,.0f}",
        "the sale took": f"{outcome.selling_s:.1f} s",
        "ledger behind, at most": f"{lag.longest_s:.1f} s, {lag.most_commits:,} commits",
        "time to drain": f"{outcome.drain_s:.1f} s",
    }
