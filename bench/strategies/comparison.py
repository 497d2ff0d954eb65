"""Takes every row of a comparison. One that fails has its failure in it, and the others are taken all the same."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.strategies.attempts import described
from bench.strategies.catalog import has
from bench.strategies.installations import Installations
from bench.strategies.losses import Course, Fault, FaultRun, Loss
from bench.strategies.measuring import Cell, MeasuredSale, SaleShape, measure
from bench.strategies.result import Result
from bench.strategies.system import System


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    names: Sequence[str]  # of strategies
    loads: Sequence[tuple[str, SaleShape]]  # each after the name of its table
    course: Course | None  # of the faults; None: there are none
    is_smoke: bool = False  # all on one installation, with one fault


class Comparison:
    """Runs a plan."""

    def __init__(self, plan: Plan, installations: Installations, folder: Path, progress: Callable[[str], None]) -> None:
        self._plan = plan
        self._installations = installations
        self._folder = folder
        self._progress = progress

    def run(self, result: Result, save: Callable[[], None]) -> None:
        """Every strategy alone, then all together with each fault; `save` is called after each."""
        plan = self._plan
        for name in plan.names if plan.loads and not plan.is_smoke else ():
            self._measure_all(name, result)
            save()
        if plan.course:
            for fault in [plan.course.server_killed] if plan.is_smoke else plan.course.faults:
                self._lose(fault, plan.course, result)
                save()

    def _measure_all(self, name: str, result: Result) -> None:
        """All loads on one strategy; after one that failed the strategy is started anew for the next."""
        left = deque(self._plan.loads)
        while left:
            self._progress(f"{name}: starting")
            try:
                with self._installations.alone(name) as system:
                    while left:
                        table, shape = left[0]
                        measured = self._measure(system, shape, f"sale-{len(left)}")
                        result.cells[table].append(Cell(name, shape, measured))
                        left.popleft()
            except Exception as error:  # noqa: BLE001  whatever it is, the other rows are not to be lost by it
                self._progress(f"{name}: {described(error)}")
                if left:
                    table, shape = left.popleft()
                    result.cells[table].append(Cell(name, shape, None, described(error)))
                else:
                    result.problems.append(f"{name}, after its last load: {described(error)}")

    def _measure_each(self, system: System, result: Result) -> None:
        for number, (table, shape) in enumerate(self._plan.loads):
            measured = self._measure(system, shape, f"sale-{system.name}-{number}")
            result.cells[table].append(Cell(system.name, shape, measured))

    def _measure(self, system: System, shape: SaleShape, sale_id: str) -> MeasuredSale:
        measured = measure(system, shape, sale_id, self._folder)
        told = f"{measured.books.told:,} told, {measured.books.recorded:,} recorded"
        self._progress(f"{system.name}: {shape.label}: {measured.answers_per_s:,.0f} answers/s, {told}")
        return measured

    def _lose(self, fault: Fault, course: Course, result: Result) -> None:
        """All strategies that have the part which fails; in a smoke run each has its loads before that."""
        self._progress(f"losses: {fault.name}")
        names = [name for name in self._plan.names if has(name, fault.part)]
        losses: Sequence[Loss] = ()
        try:
            with self._installations.together(names) as (systems, stores):
                for system in systems if self._plan.is_smoke else ():
                    self._measure_each(system, result)
                losses = FaultRun(fault, course, self._folder).losses(systems, stores)
        except Exception as error:  # noqa: BLE001  as above
            self._progress(f"{fault.name}: {described(error)}")
            if losses:
                result.problems.append(f"{fault.name}, after the counts: {described(error)}")
            losses = losses or [Loss(name, fault.name, None, 0, described(error)) for name in names]
        result.losses += losses
