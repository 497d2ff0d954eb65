"""Start, end and wait for child processes that never outlive their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_S = 0.02


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    identity: str = "same",
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program that gets `death_signal` when the thread that called this ends.

    The kernel watches the thread and not the process, so call this from one that lives as long as the child should.
    The child has a process group of its own: Ctrl-C reaches whoever started it, and that one decides the order of
    ending. `identity` is explained in launch.py.
    """
    launch: list[str | Path] = [
        sys.executable,
        "-I",
        "-S",
        LAUNCHER,
        str(os.getpid()),
        str(int(death_signal)),
        identity,
    ]
    return subprocess.Popen(
        [*launch, *command], env=env, stdin=stdin, stdout=stdout, stderr=stderr, process_group=0, close_fds=True
    )


def end(process: subprocess.Popen[bytes], how: Sequence[signal.Signals], grace_s: float) -> bool:
    """Ask a child to end, by each signal in turn for `grace_s` seconds, then kill it. False: it had to be killed."""
    for polite in how:
        process.send_signal(polite)
        if exited(process, within_s=grace_s):
            return True
    process.kill()
    process.wait()
    return False


def exited(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Say whether a child ends within so many seconds."""
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Ask again and again until the condition holds (True) or the time is over (False)."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
