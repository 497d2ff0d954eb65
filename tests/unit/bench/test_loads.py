"""A load counts if nothing disturbed it, and its CPU is that of the processes that are watched."""

import os
import time

import pytest
from holdfast_bench.load import LoadFailed, Report

from bench.loads import Measured, Taken, server_table, undisturbed
from bench.rounds import RoundDisturbed

ALL_CPUS = 10**6
REPORT = Report(100, 1.0, [1.0] * 100)


def work(seconds: float) -> None:
    """Take CPU."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_cpu_is_summed_by_group() -> None:
    """A server's workers are one group, and its Redis is another."""
    with undisturbed("this", [[os.getpid()], []], ALL_CPUS) as taken:
        work(0.05)

    assert taken.cpu_s[0] >= 0.05
    assert taken.cpu_s[1] == 0
    assert taken.seconds >= 0.05


def test_a_load_that_failed_disturbs_its_round() -> None:
    """Under the name of what was measured."""
    with pytest.raises(RoundDisturbed, match="this accepted: calls failed"), undisturbed("this accepted", [], ALL_CPUS):
        raise LoadFailed("calls failed")


def test_other_work_disturbs_a_round() -> None:
    """More than what may be taken; nothing at all is more than less than nothing."""
    with pytest.raises(RoundDisturbed, match="other work and the host took"), undisturbed("this", [], -1):
        pass


def test_cpu_is_divided_by_calls() -> None:
    """In microseconds."""
    assert Taken(1.0, (0.01, 0.002)).measured(REPORT).cpu_us == [100.0, 20.0]


def test_a_pair_is_compared_round_by_round() -> None:
    """The machine is half as fast in the second round, and the ratio stays."""
    rounds = [{"off": Measured(REPORT, [50.0 * slow]), "on": Measured(REPORT, [60.0 * slow])} for slow in (1, 2)]

    assert list(server_table(rounds, ["on"], [("on", "off")]))[2:] == [
        "| on | 100 (100-100) | 90 (75-105) |",
        "| on in proportion to off | 1.000 (1.000-1.000) | 1.200 (1.200-1.200) |",
    ]
