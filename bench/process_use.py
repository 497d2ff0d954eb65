"""CPU seconds and memory of processes with their children, sampled while they work."""

import resource
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

from bench.cpu import PROC, spent_ns, threads_of

SAMPLE_S = 0.5
MIB = 1024
Threads = dict[int, int]


class ProcessUse:
    """Measures inside the block; a thread that ends between two samples is counted up to the first of them."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._first: dict[str, Threads] = {}
        self._last: dict[str, Threads] = {name: {} for name in pids}
        self._peak_kib = dict.fromkeys(pids, 0)
        self._children_s = 0.0
        self._children_before: set[int] = set()
        self._generator_kib: dict[int, int] = {}

    def __enter__(self) -> "ProcessUse":
        self._first = {name: _threads(pid) for name, pid in self._pids.items()}
        self._children_s, self._children_before = _children_s(), _children()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()
        self._children_s = _children_s() - self._children_s

    def figures(self) -> dict[str, dict[str, float]]:
        """Of each process: CPU seconds, and MiB at most, of which shared pages count in part."""
        return {
            name: {
                "cpu_s": round(spent_ns(self._first[name], self._last[name]) / 1e9, 3),
                "peak_mib": round(self._peak_kib[name] / MIB, 1),
            }
            for name in self._pids
        }

    def generators(self) -> dict[str, float]:
        """The same of the load generators: children of this process that begin and end within the block."""
        return {
            "cpu_s": round(self._children_s, 3),
            "peak_mib": round(sum(self._generator_kib.values()) / MIB, 1),
        }

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        for name, pid in self._pids.items():
            self._last[name].update(_threads(pid))
            self._peak_kib[name] = max(self._peak_kib[name], sum(_pss_kib(one) for one in _family(pid)))
        for pid in _children() - self._children_before:
            self._generator_kib[pid] = max(self._generator_kib.get(pid, 0), _pss_kib(pid))


def _threads(pid: int) -> Threads:
    """What each thread of a process and its children has spent so far."""
    found: Threads = {}
    for one in _family(pid):
        try:
            found.update(threads_of(one))
        except FileNotFoundError:  # a child that has ended meanwhile
            continue
    return found


def _family(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _pss_kib(pid: int) -> int:
    """The resident memory of a process, its shared pages divided among those that share them."""
    try:
        lines = Path(PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def resident_kib(pid: int, field: str = "VmRSS") -> int:
    """What a process has in memory; of field VmHWM the most that it had."""
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
