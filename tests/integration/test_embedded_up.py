"""However `holdfast up` ends, no process of its stack is left, and the next one continues with its data."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

from tests.integration.stack_state import read_ready_state, still_running
from tests.stacks import ENVIRONMENT
from tests.waiting import eventually

READY_S = EXIT_S = 60.0

Up = subprocess.Popen[bytes]


async def test_sigterm_stops_every_process(tmp_path: Path) -> None:
    """A process that is left behind holds ports and data."""
    with running_up(tmp_path) as up:
        state = await ready_state(up, tmp_path)
        children = psutil.Process(up.pid).children(recursive=True)
        assert set(state["processes"].values()) <= {process.pid for process in children}

        up.send_signal(signal.SIGTERM)

        assert await asyncio.to_thread(up.wait, EXIT_S) == 0
        await eventually(lambda: not still_running(children))


async def test_a_second_signal_kills_every_process_at_once(tmp_path: Path) -> None:
    """Ctrl-C twice is for users who cannot wait for a server to drain its calls."""
    with running_up(tmp_path) as up:
        state = await ready_state(up, tmp_path)
        children = psutil.Process(up.pid).children(recursive=True)
        os.kill(state["processes"]["serve"], signal.SIGSTOP)  # it never stops in order

        up.send_signal(signal.SIGINT)
        up.send_signal(signal.SIGTERM)

        assert await asyncio.to_thread(up.wait, EXIT_S) == 130
        await eventually(lambda: not still_running(children))


async def test_after_sigkill_no_process_is_left_and_the_next_up_keeps_the_data(tmp_path: Path) -> None:
    """The kernel ends the children and releases the folder's lock, and the servers recover by themselves."""
    with running_up(tmp_path) as first:
        await ready_state(first, tmp_path)
        children = psutil.Process(first.pid).children(recursive=True)
        first.kill()
        first.wait()
        await eventually(lambda: not still_running(children))

    with running_up(tmp_path) as second:
        state = await ready_state(second, tmp_path)

        with Redis.from_url(state["addresses"]["redis_url"]) as redis:
            assert redis.get("times_opened") == b"1"


@contextmanager
def running_up(data_dir: Path) -> Iterator[Up]:
    """Run `holdfast up` with fake programs as a process; it is killed at the end of the block."""
    process = subprocess.Popen([sys.executable, "-m", "tests.fake_programs", "up", str(data_dir)], env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ready_state(up: Up, data_dir: Path) -> dict[str, Any]:
    """Wait until the stack is ready, and return what its stack.json says."""
    return await eventually(lambda: read_ready_state(data_dir, up.pid), READY_S)
