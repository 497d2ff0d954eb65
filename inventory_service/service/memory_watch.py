"""Watches Redis' memory, and stops new reservations while it is short, well before Redis itself rejects writes."""

from collections.abc import Awaitable, Callable

import structlog

from inventory_service.domain.backpressure import Backpressure

log = structlog.get_logger()


class MemoryWatch:
    """The watch of one server process, which repeats `check`."""

    def __init__(
        self,
        used_share: Callable[[], Awaitable[float]],
        limit: float,
        backpressure: Backpressure,
        show: Callable[[float], None],
    ) -> None:
        self._used_share = used_share
        self._limit = limit
        self._backpressure = backpressure
        self._show = show

    async def check(self) -> None:
        """Read the share once, export it, and stop or resume new reservations; raises while Redis is unavailable."""
        share = await self._used_share()
        self._show(share)
        is_short = share >= self._limit
        if is_short != self._backpressure.memory_is_short:
            self._backpressure.memory_is_short = is_short
            if is_short:
                log.warning("admission_stopped", used_share=round(share, 3))
            else:
                log.info("admission_resumed", used_share=round(share, 3))
