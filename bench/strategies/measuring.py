"""One load on one strategy: its books, latencies, throughput and CPU."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.load import percentile

from bench.cpu import cpu_s
from bench.strategies import books
from bench.strategies.books import Books
from bench.strategies.callers import Load
from bench.strategies.load_process import loading
from bench.strategies.system import System

DRAIN_S = 120.0
PERCENTILES = (50.0, 95.0, 99.0)


@dataclass(frozen=True)
class Shape:
    """A load, without the server and the sale."""

    stock: int
    callers: int
    seconds: float
    ramp_s: float = 0.0

    @property
    def label(self) -> str:
        """In words."""
        ramp = f" ({self.ramp_s:g} s ramp)" if self.ramp_s else ""
        return f"{self.callers:,} callers, {self.seconds:g} s{ramp}, {self.stock:,} units"


@dataclass(frozen=True)
class Measured:
    """The results of one load on one strategy."""

    strategy: str
    shape: Shape
    books: Books
    answers: int
    errors: dict[str, int]
    answers_per_s: float
    percentiles_ms: dict[str, float]  # of all answers
    accepted_ms: dict[str, float]
    sold_out_ms: dict[str, float]
    cpu_s_per_1000: float  # of its processes
    stores_cpu_s_per_1000: float
    client_cpu_s_per_1000: float
    on_disk: str


def measure(system: System, shape: Shape, sale_id: str, folder: Path) -> Measured:
    """Put a load on a new sale. CPU counts from its beginning until the last order is recorded."""
    books.create_sale(system, sale_id, shape.stock)
    programs, stores = system.programs().values(), system.stores().values()
    before = cpu_s(programs), cpu_s(stores)
    load = Load(system.address, sale_id, shape.callers, shape.seconds, shape.ramp_s)
    with loading(load, folder) as running:
        outcome = running.outcome()
    counted = books.count(system, sale_id, shape.stock, outcome, DRAIN_S)
    spent = cpu_s(programs) - before[0], cpu_s(stores) - before[1]
    thousands = max(outcome.answers, 1) / 1000
    return Measured(
        strategy=system.name,
        shape=shape,
        books=counted,
        answers=outcome.answers,
        errors=outcome.failures,
        answers_per_s=outcome.answers / outcome.seconds,
        percentiles_ms=percentiles([*outcome.accepted_ms, *outcome.sold_out_ms]),
        accepted_ms=percentiles(outcome.accepted_ms),
        sold_out_ms=percentiles(outcome.sold_out_ms),
        cpu_s_per_1000=spent[0] / thousands,
        stores_cpu_s_per_1000=spent[1] / thousands,
        client_cpu_s_per_1000=outcome.client_cpu_s / thousands,
        on_disk=system.answer_is_on_disk(),
    )


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """By nearest rank; empty if there are no latencies."""
    ordered = sorted(latencies_ms)
    if not ordered:
        return {}
    return {f"p{p:g}": percentile(ordered, p) for p in PERCENTILES}
