"""Tells whether a process can do its work now, and which server it waits for if not."""

import asyncio
from collections.abc import Mapping, Sequence

from holdfast_runtime.connection_errors import PROBE_TIMEOUT_S, ConnectionRejected, TransientError
from holdfast_runtime.retry import Outages
from holdfast_runtime.start_check import Dependency

FRESH_S = 1.0  # for which an answer is given again, so that many askers make no more connections than one


class Health:
    """Asks every server that the work needs, and adds those that the process' own loops wait for."""

    def __init__(self, needs: Sequence[Dependency], outages: Outages) -> None:
        self._needs = needs
        self._outages = outages
        self._asking = asyncio.Lock()
        self._probed: Mapping[str, str] = {}
        self._probed_at = float("-inf")

    async def unavailable(self) -> Mapping[str, str]:
        """Why each server that the process waits for is not available, by its name; empty if it can work."""
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._probed_at >= FRESH_S:
                found = await asyncio.gather(*(_probe(dependency) for dependency in self._needs))
                self._probed = {name: why for name, why in found if why}
                self._probed_at = asyncio.get_running_loop().time()
        return {**self._outages.open(), **self._probed}


async def _probe(dependency: Dependency) -> tuple[str, str]:
    """The server's name, and why it is not available; an empty reason if it is."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await dependency.probe()
    except (ConnectionRejected, TransientError, TimeoutError) as error:
        return dependency.name, " ".join(str(error).split()) or "no answer in time"
    return dependency.name, ""
