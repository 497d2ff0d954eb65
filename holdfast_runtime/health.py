"""Determines whether a process can do its work now, and which servers it waits for."""

import asyncio
from collections.abc import Mapping, Sequence

from holdfast_runtime.connection_errors import PROBE_TIMEOUT_S, ConnectionRejected, TransientError
from holdfast_runtime.retry import Outages
from holdfast_runtime.start_check import Dependency

FRESH_S = 1.0  # for which a result is reused, so that frequent requests do not multiply connections


class Health:
    """Probes every server that the process requires, and adds those that its own loops wait for."""

    def __init__(self, required: Sequence[Dependency], outages: Outages) -> None:
        self._required = required
        self._outages = outages
        self._probing = asyncio.Lock()
        self._probed: Mapping[str, str] = {}
        self._probed_at = float("-inf")

    async def unavailable(self) -> Mapping[str, str]:
        """Each unavailable server by its name, with the error; empty if the process can work."""
        async with self._probing:
            now = asyncio.get_running_loop().time()
            if now - self._probed_at >= FRESH_S:
                found = await asyncio.gather(*(_probe(dependency) for dependency in self._required))
                self._probed = {name: why for name, why in found if why}
                self._probed_at = asyncio.get_running_loop().time()
        return {**self._outages.open(), **self._probed}


async def _probe(dependency: Dependency) -> tuple[str, str]:
    """The server's name, and the error; an empty one if the server is available."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await dependency.probe()
    except (ConnectionRejected, TransientError, TimeoutError) as error:
        return dependency.name, " ".join(str(error).split()) or "no answer in time"
    return dependency.name, ""
