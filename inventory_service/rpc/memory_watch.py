"""Take no new orders while Redis is short of memory, well before it refuses to write by itself."""

from collections.abc import Awaitable, Callable

import structlog

from inventory_service.domain.room import Room

log = structlog.get_logger()


class MemoryWatch:
    """One server's watch over the store's memory; its owner repeats `look`."""

    def __init__(
        self, used_share: Callable[[], Awaitable[float]], limit: float, room: Room, show: Callable[[float], None]
    ) -> None:
        self._used_share = used_share
        self._limit = limit
        self._room = room
        self._show = show

    async def look(self) -> None:
        """Ask once, show it and act on it; an `ServerUnavailable` store keeps what was seen last."""
        share = await self._used_share()
        self._show(share)
        is_short = share >= self._limit
        if is_short != self._room.memory_is_short:
            self._room.memory_is_short = is_short
            say = log.warning if is_short else log.info
            say("memory", doing="no new orders" if is_short else "new orders again", used_share=round(share, 3))
