"""CPU time of processes, from the scheduler's statistics of their threads, and of the whole machine beside them."""

import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")

Threads = Mapping[int, int]  # nanoseconds on a CPU, by thread id


@dataclass(frozen=True)
class Spent:
    """CPU seconds of a stretch of time."""

    by_process: Sequence[float]  # of the watched processes, in their order
    own: float  # of this process and its children that have ended
    others: float  # of every process but these
    stolen: float  # by the machine's host


class CpuWatch:
    """Measures from its creation to the call of `spent`."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._busy, self._stolen = machine_time((PROC / "stat").read_text())
        self._own = _own_time()
        self._before = [threads_of(pid) for pid in pids]

    def spent(self) -> Spent:
        """The CPU time spent so far."""
        after = [threads_of(pid) for pid in self._pids]
        own = _own_time() - self._own
        busy, stolen = machine_time((PROC / "stat").read_text())
        by_process = [spent_ns(*pair) / 1e9 for pair in zip(self._before, after, strict=True)]
        others = busy - self._busy - own - sum(by_process)
        return Spent(by_process, own, max(0.0, others), stolen - self._stolen)


def threads_of(pid: int) -> Threads:
    """What each thread of a process has spent so far."""
    threads = {}
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            threads[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
    return threads


def spent_ns(before: Threads, after: Threads) -> int:
    """What a process spent between two readings; a thread that ended between them is left out."""
    return sum(total - before.get(thread, 0) for thread, total in after.items())


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds of processes and of all that they have started."""
    total = 0.0
    for pid in pids:
        root = psutil.Process(pid)
        times = root.cpu_times()
        total += times.children_user + times.children_system  # of children that have ended
        for process in (root, *root.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
    return total


def machine_time(stat: str) -> tuple[float, float]:
    """Seconds since the boot, of all CPUs together, in which they worked and in which the host withheld them."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(ticks) for ticks in stat.split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS_A_SECOND, steal / TICKS_A_SECOND


def _own_time() -> float:
    """What this process and its ended children, the load generators, have spent."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
