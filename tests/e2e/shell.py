"""Runs commands as a person's shell does, who repeats what no server answered in time, as the exit codes say."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

NOT_ASKED, UNKNOWN = 2, 3  # a server that is halted for some seconds is as good as away
TIMES = 5
COMMAND_S = 60.0


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end, again if the server did not judge it."""
    for _ in range(TIMES):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        if done.returncode not in (NOT_ASKED, UNKNOWN):
            break
    return done
