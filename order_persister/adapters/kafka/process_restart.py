"""Replaces the process by a new one, where Faust cannot go on and cannot be started a second time."""

import os
import sys
from shutil import rmtree

import faust


def restart_process(app: faust.App) -> None:
    """Files and connections close by themselves, and the app's folder is deleted.

    The new process waits for unavailable servers without a limit: the start check, which ends a process after a while
    because a wrong address looks the same, has been passed already.
    """
    rmtree(app.conf.datadir, ignore_errors=True)
    environment = {**os.environ, "HOLDFAST_START_WAIT_S": "0"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
