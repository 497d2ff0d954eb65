"""Watches the store's memory, and stops new orders while it is short, well before Redis refuses to write by itself."""

from collections.abc import Awaitable, Callable

import structlog

from inventory_service.domain.backpressure import Backpressure

log = structlog.get_logger()


class MemoryWatch:
    """One server's watch; its owner repeats `check`."""

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
        """Ask once, show it and act on it; a store that is unavailable keeps the state that was seen last."""
        share = await self._used_share()
        self._show(share)
        is_short = share >= self._limit
        if is_short != self._backpressure.memory_is_short:
            self._backpressure.memory_is_short = is_short
            if is_short:
                log.warning("admission_stopped", used_share=round(share, 3))
            else:
                log.info("admission_resumed", used_share=round(share, 3))
