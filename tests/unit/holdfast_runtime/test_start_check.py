"""The start check: which errors of a server end a process, and the line that it prints."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast_runtime.connection_errors import Cause, ConnectionRejected, TransientError
from holdfast_runtime.postgres import postgres_dependency
from holdfast_runtime.settings import BadSettings, SharedSettings
from holdfast_runtime.start_check import Dependency, wait_for, wait_for_all
from tests.waiting import LONG_S

URL, LIMIT = "HOLDFAST_REDIS_URL", "HOLDFAST_START_WAIT_S is 0.05"


def dependency(probe: Callable[[], Awaitable[None]]) -> Dependency:
    return Dependency("Redis", "Redis at somewhere:1", probe, URL, {Cause.USER: "HOLDFAST_KAFKA_PASSWORD"})


def away(times: int, probes: list[int]) -> Callable[[], Awaitable[None]]:
    """A server that is unavailable for so many probes."""

    async def probe() -> None:
        probes.append(1)
        if len(probes) <= times:
            raise TransientError("Connection\nrefused")

    return probe


async def test_a_server_that_starts_in_time_is_waited_for() -> None:
    """Processes and servers of one deploy start side by side."""
    probes: list[int] = []

    await wait_for(dependency(away(1, probes)), LONG_S)

    assert len(probes) == 2


async def test_a_server_that_stays_unavailable_is_named_with_its_setting() -> None:
    """One line, whatever the message of the library."""
    with pytest.raises(BadSettings) as ended:
        await wait_for(dependency(away(1000, [])), 0.05, LIMIT)

    assert str(ended.value) == f"{URL}: Redis at somewhere:1 does not answer: Connection refused ({LIMIT})"


async def test_a_server_that_does_not_answer_at_all_is_named_too() -> None:
    """A firewall may drop packets without refusing the connection."""
    with pytest.raises(BadSettings, match="does not answer: no answer"):
        await wait_for(dependency(lambda: asyncio.sleep(60)), 0.05)


async def test_without_a_wait_an_unavailable_server_is_probed_once() -> None:
    """The process starts despite the outage then."""
    probes: list[int] = []

    await wait_for(dependency(away(1000, probes)), 0)

    assert len(probes) == 1


@pytest.mark.parametrize("wait_s", [0, LONG_S])
@pytest.mark.parametrize(("cause", "setting"), [(Cause.USER, "HOLDFAST_KAFKA_PASSWORD"), (Cause.TRUST, URL)])
async def test_a_rejection_is_not_waited_for(wait_s: float, cause: Cause, setting: str) -> None:
    """Waiting does not correct a password; the line names the setting, however long the wait may be."""
    probes: list[int] = []

    async def probe() -> None:
        probes.append(1)
        raise ConnectionRejected(cause, "wrong")

    with pytest.raises(BadSettings) as ended:
        await wait_for(dependency(probe), wait_s)

    assert len(probes) == 1
    assert str(ended.value) == f"{setting}: Redis at somewhere:1 cannot be used: wrong"


async def test_without_a_wait_an_unknown_host_counts_as_unavailable() -> None:
    """Where an orchestrator gives names only to what runs, an outage removes the name too."""

    async def probe() -> None:
        raise ConnectionRejected(Cause.NAME, "there is no such host")

    await wait_for(dependency(probe), 0)
    with pytest.raises(BadSettings, match="there is no such host"):
        await wait_for(dependency(probe), LONG_S)


async def test_one_rejection_ends_the_check() -> None:
    """The probes of other servers are not waited for."""

    async def reject() -> None:
        raise ConnectionRejected(Cause.USER, "wrong")

    silent, sure = dependency(lambda: asyncio.sleep(2 * LONG_S)), dependency(reject)

    with pytest.raises(BadSettings, match="cannot be used"):
        await asyncio.wait_for(wait_for_all([silent, sure], 2 * LONG_S, LIMIT), LONG_S)


@pytest.mark.parametrize("hosts", ["here:5432", "here:5432,there:5433"])
def test_no_password_is_in_the_line(hosts: str) -> None:
    """The line may be logged. All hosts of a PostgreSQL are in it."""
    settings = SharedSettings(postgres_dsn=f"postgresql://ann:secret@{hosts}/books?target_session_attrs=read-write")

    assert postgres_dependency(settings).server == f"PostgreSQL at {hosts}"
