"""Probes every server that a process depends on before its work begins: a wrong setting ends it with one line."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from holdfast_runtime.connection_errors import (
    PROBE_TIMEOUT_S,
    Cause,
    ConnectionRejected,
    ServerNotReady,
    TransientError,
)
from holdfast_runtime.retry import Backoff
from holdfast_runtime.settings import BadSettings


class Dependency(NamedTuple):
    """One server. `settings` names the variable to check by cause, and `setting` that for all other causes."""

    name: str
    server: str  # name and address, without user and password
    probe: Callable[[], Awaitable[None]]  # ConnectionRejected or TransientError if it does not answer
    setting: str
    settings: Mapping[Cause, str]

    def setting_for(self, cause: Cause) -> str:
        return self.settings.get(cause, self.setting)


async def wait_for_all(dependencies: Sequence[Dependency], wait_s: float, limit: str) -> None:
    """Return when every server has accepted a connection; `BadSettings`, one line, if one rejects it.

    An unavailable server is probed again, and after `wait_s` it counts as rejecting, because a wrong address looks the
    same. With 0 an outage keeps no process from starting. `limit` describes `wait_s` in the line.
    """
    waiting = [asyncio.create_task(wait_for(dependency, wait_s, limit)) for dependency in dependencies]
    try:
        await asyncio.gather(*waiting)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def wait_for(dependency: Dependency, wait_s: float, limit: str = "") -> None:
    """Probe until the server answers; `BadSettings` if it rejects, or after `wait_s` (0: probe once, then go on)."""
    backoff, why = Backoff(longest_s=1.0), "does not answer: no answer"
    try:
        async with asyncio.timeout(wait_s or PROBE_TIMEOUT_S):
            while True:
                try:
                    return await dependency.probe()
                except TransientError as error:
                    answers = isinstance(error, ServerNotReady)
                    why = f"{'cannot be used' if answers else 'does not answer'}: {error}"
                if not wait_s:
                    return
                await backoff.wait()
    except ConnectionRejected as rejection:
        if rejection.cause is Cause.NAME and not wait_s:
            return
        setting = dependency.setting_for(rejection.cause)
        raise BadSettings(_line(f"{setting}: {dependency.server} cannot be used: {rejection}")) from None
    except TimeoutError:
        if wait_s:
            waited = f" ({limit})" if limit else ""
            raise BadSettings(_line(f"{dependency.setting}: {dependency.server} {why}{waited}")) from None


def address_of(url: str) -> str:
    """The address in a URL, without the user and the password."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _line(text: str) -> str:
    return " ".join(text.split())
