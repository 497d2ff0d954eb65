"""Starts strategies on servers of their own, and stops them in the end."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.strategies.catalog import HOLDFAST
from bench.strategies.holdfast_system import READY_S, HoldfastSystem, holdfast_stack
from bench.strategies.measuring import DRAIN_S
from bench.strategies.stores import Stores
from bench.strategies.system import StrategySystem, System

Together = tuple[Sequence[System], Stores]


class Installations:
    """Each begins with empty stores, in a folder that is removed in the end."""

    def __init__(self, folder: Path, persistence: str, progress: Callable[[str], None]) -> None:
        """`persistence` is that of the six's Redis."""
        self._folder = folder
        self._persistence = persistence
        self._progress = progress

    @contextmanager
    def alone(self, name: str) -> Iterator[System]:
        """One strategy."""
        with ExitStack() as held:
            if name == HOLDFAST:
                yield held.enter_context(self._holdfast())
            else:
                stores = held.enter_context(self._stores())
                yield held.enter_context(self._strategy(name, stores))

    @contextmanager
    def together(self, names: Sequence[str]) -> Iterator[Together]:
        """Several strategies, those of the six on the same stores."""
        with ExitStack() as held:
            stores = held.enter_context(self._stores())
            systems: list[System] = []
            for name in names:
                one = self._holdfast() if name == HOLDFAST else self._strategy(name, stores)
                systems.append(held.enter_context(one))
            yield systems, stores

    @contextmanager
    def _stores(self) -> Iterator[Stores]:
        with self._new_folder("stores") as folder:
            stores = Stores(folder, self._persistence)
            try:
                stores.start()
                yield stores
            finally:
                stores.stop()

    @contextmanager
    def _strategy(self, name: str, stores: Stores) -> Iterator[System]:
        with self._new_folder(name) as folder:
            system = StrategySystem(name, folder, stores)
            try:
                system.start()
                yield system
            finally:
                system.stop()

    @contextmanager
    def _holdfast(self) -> Iterator[System]:
        """In the end the audit compares all of its sales."""
        with self._new_folder(HOLDFAST) as folder, holdfast_stack(folder) as stack:
            stack.wait_ready(READY_S)
            system = HoldfastSystem(stack)
            yield system
            self._progress(system.audit(deadline_s=DRAIN_S))

    @contextmanager
    def _new_folder(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self._folder) as folder:
            yield Path(folder)
