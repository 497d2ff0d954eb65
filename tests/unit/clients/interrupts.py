"""Ctrl-C in the midst of a call."""

import asyncio
import signal

from tests.unit.clients.fake_inventory import FakeInventory
from tests.waiting import eventually


def interrupt_once(fake: FakeInventory, thread: int) -> None:
    """Send SIGINT to a thread of this process once the server has been asked."""
    asyncio.run(eventually(lambda: fake.asked))
    signal.pthread_kill(thread, signal.SIGINT)
