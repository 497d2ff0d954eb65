"""Sets how long a fetch waits at a broker that has nothing new: briefly while records come, longer while none do.

While records of one partition wait to be taken, aiokafka fetches the other partitions alone, and then nothing until one
of these has a record or the wait is over: beside idle shards, busy ones would stand still for that long. Faust sets
1.5 s and has no setting for it. Where nothing is sold, short waits only cost CPU: docs/decisions/ledger-speed.md.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import faust
from faust.types import TP

CHECK_INTERVAL_S = 0.5
BUSY_MS, IDLE_MS = 200, 1500
IDLE_AFTER = 10  # checks that find no new record

Offsets = Mapping[TP, int | None]


class FetchWait:
    """The wait that suits the records read so far."""

    def __init__(self) -> None:
        self._read: Offsets = {}
        self._checks_without_record = 0

    def next_ms(self, read: Offsets) -> int:
        """The wait from now on, given the last offset that was read of each partition."""
        self._checks_without_record = self._checks_without_record + 1 if read == self._read else 0
        self._read = dict(read)
        return IDLE_MS if self._checks_without_record >= IDLE_AFTER else BUSY_MS


async def adapt_fetch_wait(app: faust.App) -> None:
    """Runs beside the app until it is cancelled."""
    wait = FetchWait()
    while True:
        await asyncio.sleep(CHECK_INTERVAL_S)
        consumer: Any = app._consumer
        fetches: Any = consumer and consumer._thread._consumer  # aiokafka's, in a thread of Faust's
        if fetches and fetches._fetcher:  # else it connects
            fetches._fetcher._fetch_max_wait_ms = wait.next_ms(consumer._read_offset)
