"""Workers are started again when they end, unless no start can help, and are drained together."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from inventory_service.workers import supervisor as supervisors
from inventory_service.workers.supervisor import MOST_FAILED_STARTS, Supervisor
from tests.waiting import eventually

SERVE = """echo '{"metrics_url": ""}'; read -r line"""  # until its standard input is closed


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two starts."""
    monkeypatch.setattr(supervisors, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(supervisors, "LONGEST_DELAY_S", 0.01)


def of_shells(script: str, count: int = 2) -> Supervisor:
    """Workers that run a script, in which `$1` is their number."""
    return Supervisor(count, ["sh", "-c", script, "worker"], os.environ)


def beside_one_that_serves(script: str, folder: Path) -> str:
    """The script of two workers: the first serves, and the other one runs `script` once `let_fail` was called."""
    return f"if [ $1 = 1 ]; then {SERVE}; fi; until [ -e {folder}/serves ]; do sleep 0.01; done; {script}"


async def let_fail(supervisor: Supervisor, folder: Path) -> None:
    """Have the second worker go on, now that the first one serves."""
    await eventually(lambda: supervisor.listening)
    (folder / "serves").touch()


@asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator["asyncio.Task[int]"]:
    """The supervisor's task; its workers are killed at the end."""
    task = asyncio.create_task(supervisor.run())
    try:
        yield task
    finally:
        supervisor.drain()
        supervisor.kill()
        await task


async def test_a_worker_that_dies_is_started_again_and_the_others_go_on() -> None:
    """Its callers repeat their calls; those of the others notice nothing."""
    supervisor = of_shells(SERVE)
    async with running(supervisor):
        await supervisor.all_listen.wait()
        first, second = (supervisor.listening[number].pid for number in (1, 2))

        os.kill(first, signal.SIGKILL)

        await eventually(lambda: supervisor.restarts == 1 and len(supervisor.listening) == 2)
        assert supervisor.listening[1].pid != first
        assert supervisor.listening[2].pid == second


async def test_a_worker_that_prints_a_line_of_any_length_is_followed() -> None:
    """What a library prints to standard output does not end the supervisor."""
    supervisor = of_shells(f"head -c 200000 /dev/zero; echo; {SERVE}")
    async with running(supervisor):
        await supervisor.all_listen.wait()

        assert supervisor.restarts == 0


async def test_workers_that_fail_at_every_start_end_the_supervisor() -> None:
    """With their exit code, so that a process manager or an operator sees it."""
    supervisor = of_shells("exit 7")

    assert await supervisor.run() == 7
    assert supervisor.restarts >= 2 * (MOST_FAILED_STARTS - 1)  # both have been tried


async def test_invalid_settings_end_the_supervisor_at_the_first_start() -> None:
    """They are as invalid at the next."""
    supervisor = of_shells("exit 2")

    assert await supervisor.run() == 2
    assert supervisor.restarts == 0


async def test_a_worker_that_cannot_start_is_tried_again_while_another_serves(tmp_path: Path) -> None:
    """A file that is wrong for a while must not end a service that works."""
    supervisor = of_shells(beside_one_that_serves("exit 2", tmp_path))
    async with running(supervisor) as task:
        await let_fail(supervisor, tmp_path)
        await eventually(lambda: supervisor.restarts > MOST_FAILED_STARTS)

        assert not task.done()


async def test_a_worker_that_took_calls_is_started_again_beside_one_that_never_could(tmp_path: Path) -> None:
    """Although no worker takes calls at that moment."""
    supervisor = of_shells(beside_one_that_serves("exit 2", tmp_path))
    async with running(supervisor):
        await let_fail(supervisor, tmp_path)
        await eventually(lambda: supervisor.listening and supervisor.restarts > 2 * MOST_FAILED_STARTS)
        first = supervisor.listening[1].pid

        os.kill(first, signal.SIGKILL)

        await eventually(lambda: supervisor.listening and supervisor.listening[1].pid != first)


async def test_one_failed_start_of_each_of_many_workers_ends_nothing(tmp_path: Path) -> None:
    """Each has starts of its own."""
    supervisor = of_shells(f"if mkdir {tmp_path}/$1 2>/dev/null; then exit 1; fi; {SERVE}", MOST_FAILED_STARTS + 1)
    async with running(supervisor):
        await supervisor.all_listen.wait()

        assert supervisor.restarts == MOST_FAILED_STARTS + 1


async def test_a_worker_that_the_system_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one goes on meanwhile."""
    supervisor, start, refused = of_shells(SERVE), Supervisor._start, 0

    async def refuse_some(self: Supervisor, number: int, stdin: int) -> asyncio.subprocess.Process:
        nonlocal refused
        if number == 1 and refused < 3:
            refused += 1
            os.close(stdin)
            raise BlockingIOError("Resource temporarily unavailable")
        return await start(self, number, stdin)

    monkeypatch.setattr(Supervisor, "_start", refuse_some)
    async with running(supervisor):
        await supervisor.all_listen.wait()

        assert (refused, supervisor.restarts) == (3, 3)


async def test_an_unexpected_error_about_one_worker_drains_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And is raised then."""
    supervisor = of_shells(f"trap 'touch {tmp_path}/drained; exit 0' TERM; {SERVE}")
    follow = Supervisor._follow

    async def fail_second(self: Supervisor, number: int, process: asyncio.subprocess.Process) -> bool:
        if number == 2:
            await eventually(lambda: 1 in self.listening)
            process.kill()
            await follow(self, number, process)
            await process.wait()
            raise ValueError("a bug")
        return await follow(self, number, process)

    monkeypatch.setattr(Supervisor, "_follow", fail_second)

    with pytest.raises(ValueError, match="a bug"):
        await supervisor.run()
    assert (tmp_path / "drained").exists()


@pytest.mark.parametrize(("on_signal", "code"), [("exit 0", 0), ("exit 3", 3)])
async def test_the_exit_code_of_a_drain_is_the_highest_of_the_workers(on_signal: str, code: int) -> None:
    """Each ends by itself."""
    supervisor = of_shells(f"if [ $1 = 1 ]; then trap '{on_signal}' TERM; else trap 'exit 0' TERM; fi; {SERVE}")
    task = asyncio.create_task(supervisor.run())
    await supervisor.all_listen.wait()

    supervisor.drain()

    assert await task == code


async def test_a_worker_that_starts_during_a_drain_is_no_failure() -> None:
    """It has no handler for the signal yet."""
    supervisor = of_shells("exec sleep 60")
    task = asyncio.create_task(supervisor.run())
    await eventually(lambda: len(supervisor._running) == 2)

    supervisor.drain()

    assert await task == 0
