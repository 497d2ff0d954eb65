"""What the demo shows while it runs: a picture on a terminal, lines elsewhere."""

import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from holdfast_embedded.demo.tally import Tally
from holdfast_embedded.demo.watch import Watch

PLAIN_EVERY_S = 1.0
RATE_OVER_S = 2.0
BAR_WIDTH = 60


class Screen:
    """The running sale. On a terminal the picture is drawn anew in place; a log gets a line a second."""

    def __init__(self, console: Console, tally: Tally, watch: Watch, units: int) -> None:
        self._console = console
        self._tally = tally
        self._watch = watch
        self._units = units
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said_at = 0.0
        self._calls: deque[tuple[float, int]] = deque([(self._began, 0)])

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def tell(self, event: str) -> None:
        """Say that something happened; it stays above the picture."""
        self._console.print(f"{self._elapsed_s():6.1f} s  {event}", highlight=False, markup=False, soft_wrap=True)

    def show(self) -> None:
        """Draw the sale as it stands now."""
        now = time.monotonic()
        self._calls.append((now, self._tally.calls))
        while now - self._calls[0][0] > RATE_OVER_S:
            self._calls.popleft()
        if self._live:
            self._live.update(self._picture(), refresh=True)
        elif now - self._said_at >= PLAIN_EVERY_S:
            self._said_at = now
            self.tell(f"{self._stock()} | {self._pace()}")

    def _picture(self) -> Group:
        item = self._watch.item
        grid = Table.grid()
        grid.add_row(ProgressBar(total=self._units, completed=item.sold, width=BAR_WIDTH))
        grid.add_row(Text(self._stock(), style="bold"))
        grid.add_row(Text(self._pace(), style="dim"))
        return Group(Text(), grid)

    def _stock(self) -> str:
        item = self._watch.item
        return f"{item.sold:,} sold, {item.held:,} held, {item.available:,} left"

    def _pace(self) -> str:
        lag = self._watch.lag
        return (
            f"{self._rate():,.0f} calls/s, p99 {self._tally.percentile_ms(0.99):.0f} ms, "
            f"ledger {lag.commits:,} commits ({lag.seconds:.1f} s) behind"
        )

    def _rate(self) -> float:
        (since, before), (now, calls) = self._calls[0], self._calls[-1]
        return (calls - before) / (now - since) if now > since else 0.0

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began
