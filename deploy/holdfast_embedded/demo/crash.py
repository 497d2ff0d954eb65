"""The accident in the demo: the persister is killed in mid-sale, and the supervisor brings it back."""

import asyncio

from holdfast_embedded.demo.screen import Screen
from holdfast_embedded.stack import Stack

VICTIM = "persist"
AT_SHARE = 0.35  # of the units sold: early enough that much is sold while the persister is away


class Crash:
    """Happens once, when enough is sold."""

    def __init__(self, stack: Stack, screen: Screen, units: int) -> None:
        self._stack = stack
        self._screen = screen
        self._due_at = AT_SHARE * units
        self.killed = False
        self.mended = False

    async def strike(self, sold: int) -> None:
        """Kill when it is time."""
        if not self.killed and sold >= self._due_at:
            await asyncio.to_thread(self._stack.kill, VICTIM)
            self.killed = True
            self._screen.tell(f"the persister was ended by SIGKILL with {sold:,} units sold; the sale goes on")

    def notice_mending(self) -> None:
        """Say so once when it runs again."""
        if self.killed and not self.mended and self._stack.restarts(VICTIM):
            self.mended = True
            self._screen.tell("the supervisor has started the persister again")
