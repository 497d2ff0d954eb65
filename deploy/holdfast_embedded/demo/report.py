"""Prints the results of the demo's sale as a table."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import Item
from rich.console import Console
from rich.table import Table

from holdfast_embedded.demo.buyer_results import BuyerResults
from holdfast_embedded.demo.sale_monitor import LedgerLag

FINAL_STATES = {
    "confirmed": ReservationState.RESERVATION_STATE_CONFIRMED,
    "released": ReservationState.RESERVATION_STATE_RELEASED,
    "expired": ReservationState.RESERVATION_STATE_EXPIRED,
    "compensated": ReservationState.RESERVATION_STATE_COMPENSATED,
}


class SaleReport(NamedTuple):
    """The values of the table."""

    results: BuyerResults
    item: Item
    lag: LedgerLag
    states: Mapping[str, int]  # the final state of each reservation
    selling_s: float
    catch_up_s: float


def print_table(console: Console, report: SaleReport) -> None:
    """Print one value a row."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    for name, value in {**_counts(report), **_times(report)}.items():
        table.add_row(name, value)
    console.print()
    console.print(table)
    console.print()


def _counts(report: SaleReport) -> dict[str, str]:
    counts, item = report.results.counts, report.item
    ended = Counter(report.states.values())
    return {
        "requested": f"{counts['requested']:,}",
        "held": f"{len(report.states):,}",
        **{name: f"{ended[state]:,}" for name, state in FINAL_STATES.items()},
        "answered sold out": f"{counts['sold out']:,}",
        "replayed": f"{counts['replayed']:,}",
        "replies lost on purpose": f"{counts['lost replies']:,}",
        "units sold": f"{item.sold:,} of {item.total:,}",
    }


def _times(report: SaleReport) -> dict[str, str]:
    results, lag = report.results, report.lag
    return {
        "latency p50 / p95 / p99": " / ".join(f"{results.percentile_ms(share):.1f} ms" for share in (0.5, 0.95, 0.99)),
        "calls a second": f"{results.calls / report.selling_s:,.0f}",
        "the sale took": f"{report.selling_s:.1f} s",
        "ledger behind, at most": f"{lag.max_seconds:.1f} s, {lag.max_commits:,} commits",
        "ledger caught up after": f"{report.catch_up_s:.1f} s",
    }
