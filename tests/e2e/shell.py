"""Runs commands, and repeats those whose exit code says that no server answered in time."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

NOT_SENT, UNKNOWN = 2, 3  # of a command whose server was halted for some seconds
TIMES = 5
COMMAND_S = 150.0  # an audit alone waits for a minute for the ledger


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end, again if the server did not judge it."""
    for _ in range(TIMES):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        if done.returncode not in (NOT_SENT, UNKNOWN):
            break
    return done
