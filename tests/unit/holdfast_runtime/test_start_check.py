"""The start check: what ends a process before it begins, and in which words."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast_runtime.connection_errors import Cause, ConnectionRejected, TransientError
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.settings import BadSettings, SharedSettings
from holdfast_runtime.start_check import Dependency, wait_for, wait_for_all
from tests.waiting import LONG_S

URL, LIMIT = "HOLDFAST_REDIS_URL", "HOLDFAST_START_WAIT_S is 0.2"


def dependency(probe: Callable[[], Awaitable[None]]) -> Dependency:
    return Dependency("Redis", "Redis at somewhere:1", probe, URL, {Cause.USER: "HOLDFAST_KAFKA_PASSWORD"})


def away(times: int, probes: list[int]) -> Callable[[], Awaitable[None]]:
    """A server that is away for so many probes."""

    async def probe() -> None:
        probes.append(1)
        if len(probes) <= times:
            raise TransientError("Connection\nrefused")

    return probe


async def test_a_server_that_comes_in_time_is_waited_for() -> None:
    """Processes and servers of one deploy start side by side."""
    probes: list[int] = []

    await wait_for(dependency(away(2, probes)), LONG_S)

    assert len(probes) == 3


async def test_a_server_that_does_not_come_is_named_with_its_setting() -> None:
    """In one line, whatever a library put into its message."""
    with pytest.raises(BadSettings) as ended:
        await wait_for(dependency(away(1000, [])), 0.2, LIMIT)

    assert str(ended.value) == f"{URL}: Redis at somewhere:1 does not answer: Connection refused ({LIMIT})"


async def test_a_server_that_says_nothing_at_all_is_named_too() -> None:
    """A firewall that drops everything refuses nothing."""
    with pytest.raises(BadSettings, match="does not answer: no answer"):
        await wait_for(dependency(lambda: asyncio.sleep(60)), 0.2)


async def test_without_a_wait_a_server_that_is_away_is_probed_once() -> None:
    """An outage then keeps no process from starting."""
    probes: list[int] = []

    await wait_for(dependency(away(1000, probes)), 0)

    assert len(probes) == 1


@pytest.mark.parametrize("wait_s", [0, LONG_S])
@pytest.mark.parametrize(("cause", "setting"), [(Cause.USER, "HOLDFAST_KAFKA_PASSWORD"), (Cause.TRUST, URL)])
async def test_a_rejection_is_not_waited_for(wait_s: float, cause: Cause, setting: str) -> None:
    """However long the wait may be: no password gets right by waiting. The line names what to look at."""
    probes: list[int] = []

    async def probe() -> None:
        probes.append(1)
        raise ConnectionRejected(cause, "wrong")

    with pytest.raises(BadSettings) as ended:
        await wait_for(dependency(probe), wait_s)

    assert len(probes) == 1
    assert str(ended.value) == f"{setting}: Redis at somewhere:1 cannot be used: wrong"


async def test_without_a_wait_a_host_whose_name_is_gone_is_away() -> None:
    """Where names are given to what runs, an outage takes the name away too."""

    async def probe() -> None:
        raise ConnectionRejected(Cause.NAME, "there is no such host")

    await wait_for(dependency(probe), 0)
    with pytest.raises(BadSettings, match="there is no such host"):
        await wait_for(dependency(probe), LONG_S)


async def test_one_rejection_is_enough() -> None:
    """What another server might still say is not waited for."""

    async def reject() -> None:
        raise ConnectionRejected(Cause.USER, "wrong")

    silent, sure = dependency(lambda: asyncio.sleep(2 * LONG_S)), dependency(reject)

    with pytest.raises(BadSettings, match="cannot be used"):
        await asyncio.wait_for(wait_for_all([silent, sure], 2 * LONG_S, LIMIT), LONG_S)


def test_no_password_is_in_the_line() -> None:
    """It goes to a log that many read."""
    settings = SharedSettings(postgres_dsn="postgresql://ann:secret@here:5432/books")

    assert postgres_dependency(settings).server == "PostgreSQL at here:5432"
