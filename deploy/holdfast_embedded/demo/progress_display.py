"""Shows the demo's progress: a bar and figures redrawn in place on a terminal, log lines elsewhere."""

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from holdfast_embedded.demo.buyer_results import BuyerResults
from holdfast_embedded.demo.sale_monitor import SaleMonitor

LOG_INTERVAL_S = 1.0
RATE_WINDOW_S = 2.0
BAR_WIDTH = 60


class ProgressDisplay:
    """The display of one running sale."""

    def __init__(self, console: Console, results: BuyerResults, monitor: SaleMonitor, units: int) -> None:
        self._console = console
        self._results = results
        self._monitor = monitor
        self._units = units
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last_log = 0.0
        self._calls: deque[tuple[float, int]] = deque([(self._began, 0)])  # (time, calls so far) within RATE_WINDOW_S

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def log(self, event: str) -> None:
        """Print an event with the seconds since the start; it stays above the bar."""
        elapsed_s = time.monotonic() - self._began
        self._console.print(f"{elapsed_s:6.1f} s  {event}", highlight=False, markup=False, soft_wrap=True)

    def refresh(self) -> None:
        """Redraw the bar, or log the figures once a second where there is no terminal."""
        now = time.monotonic()
        self._calls.append((now, self._results.calls))
        while now - self._calls[0][0] > RATE_WINDOW_S:
            self._calls.popleft()
        if self._live:
            self._live.update(self._render(), refresh=True)
        elif now - self._last_log >= LOG_INTERVAL_S:
            self._last_log = now
            self.log(f"{self._unit_counts()} | {self._performance()}")

    def _render(self) -> Group:
        grid = Table.grid()
        grid.add_row(ProgressBar(total=self._units, completed=self._monitor.item.sold, width=BAR_WIDTH))
        grid.add_row(Text(self._unit_counts(), style="bold"))
        grid.add_row(Text(self._performance(), style="dim"))
        return Group(Text(), grid)

    def _unit_counts(self) -> str:
        item = self._monitor.item
        return f"{item.sold:,} sold, {item.held:,} held, {item.available:,} left"

    def _performance(self) -> str:
        lag = self._monitor.lag
        return (
            f"{self._calls_per_s():,.0f} calls/s, p99 {self._results.percentile_ms(0.99):.0f} ms, "
            f"ledger {lag.commits:,} commits ({lag.seconds:.1f} s) behind"
        )

    def _calls_per_s(self) -> float:
        (since, before), (now, calls) = self._calls[0], self._calls[-1]
        return (calls - before) / (now - since) if now > since else 0.0
