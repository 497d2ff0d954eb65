"""Threads made under SCHED_BATCH: those that begin within the block, and no others."""

import os
import sys
import threading
from typing import Any

import pytest

from inventory_service.rpc.grpc_threads import made_under_sched_batch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no other system has these policies")


def policy_of_new_thread() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
    thread.start()
    thread.join()
    return found[0]


def test_threads_of_the_block_are_under_sched_batch_and_the_own_thread_only_meanwhile() -> None:
    """Else all that the process starts later would wait for its turn longer than it needs to."""
    with made_under_sched_batch():
        within = policy_of_new_thread()

    assert within == os.SCHED_BATCH
    assert os.sched_getscheduler(0) == policy_of_new_thread() == os.SCHED_OTHER


def test_where_it_is_refused_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox may allow no such call; the server is then slower, and works."""

    def refuse(*_arguments: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)

    with made_under_sched_batch():
        assert policy_of_new_thread() == os.SCHED_OTHER
