"""How often watches look at the stock in memory: what changes is sent in a moment."""

import asyncio

POLL_S = 0.01


async def poll_often(_seconds: float) -> None:
    """Wait for the next look, which costs nothing here."""
    await asyncio.sleep(POLL_S)
