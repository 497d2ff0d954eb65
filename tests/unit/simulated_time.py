"""Time of which a test spends none: where the running loop would wait for a timer, its clock goes on to it at once."""

import asyncio
from types import ModuleType
from typing import Any

import pytest


def simulate_time(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """From now on, for the running loop and the `perf_counter` of these modules.

    However long this process is halted, no time passes for them meanwhile. What comes from a thread, another process
    or a server is no timer: a test that waits for such must not simulate time.
    """
    loop: Any = asyncio.get_running_loop()
    now_s: float = loop.time()
    select = loop._selector.select

    def read() -> float:
        return now_s

    def select_or_go_on(timeout_s: float | None) -> Any:
        nonlocal now_s
        ready = select(None if timeout_s is None else 0)
        if not ready and timeout_s:
            now_s += timeout_s
        return ready

    monkeypatch.setattr(loop, "time", read)
    monkeypatch.setattr(loop._selector, "select", select_or_go_on)
    for module in modules:
        monkeypatch.setattr(module, "perf_counter", read)
