"""The supervisor keeps a stack running, gives every client the right address, and leaves nothing behind."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from holdfast_embedded.data_dir import BadDataDir
from holdfast_embedded.makers import Makers
from holdfast_embedded.program import Plans
from holdfast_embedded.stack import Stack, StackFailed
from redis import Redis

from tests.fake_programs import plan, plans
from tests.servers import CopiedEmbeddedPostgres
from tests.stacks import ENVIRONMENT
from tests.waiting import eventually

NAMES_OF_OURS = {"serve", "relay", "compensate", "persist"}
NAMES = {"valkey", "postgres", "broker"} | NAMES_OF_OURS
UP_DEADLINE_S = 60.0

Log = list[tuple[str, str]]
MakeStack = Callable[..., Stack]


@pytest.fixture
def log() -> Log:
    """What every process of the test's stacks has said."""
    return []


@pytest.fixture
def make_stack(tmp_path: Path, log: Log) -> Iterator[MakeStack]:
    """Make stacks of fake programs, all in one data folder unless the test says otherwise; stopped afterwards."""
    with ExitStack() as stacks:

        def make(
            parts: Plans | None = None,
            environment: dict[str, str] | None = None,
            data_dir: Path = tmp_path / "data",
            listen: str = "127.0.0.1:0",
        ) -> Stack:
            stack = Stack(
                data_dir,
                ENVIRONMENT | (environment or {}),
                lambda name, line: log.append((name, line)),
                listen,
                parts or plans(),
                Makers(postgres=CopiedEmbeddedPostgres),
            )
            stacks.callback(stack.stop)
            return stack

        yield make


async def test_everything_runs_and_says_where(make_stack: MakeStack) -> None:
    """Whoever wants to know finds pids and addresses in the data folder."""
    stack = make_stack()

    await start(stack)

    told = told_by(stack.data_dir.path)
    assert told["ready"]
    assert told["addresses"] == stack.addresses._asdict()
    assert told["processes"] == {name: stack.pid(name) for name in NAMES}
    assert all(psutil.pid_exists(pid) for pid in told["processes"].values())


async def test_stopping_ends_everything_in_order(make_stack: MakeStack, log: Log) -> None:
    """Who takes calls ends first, so that what was taken is still worked through."""
    strangers = set(psutil.Process().children(recursive=True))  # the servers that all tests share
    stack = make_stack()
    await start(stack)
    await eventually(lambda: at_work(log) == NAMES_OF_OURS)
    family = [process for process in psutil.Process().children(recursive=True) if process not in strangers]

    await asyncio.to_thread(stack.stop)

    endings = [name for name, line in log if line == "ended in order"]
    assert endings == ["serve", "compensate", "relay", "persist"]
    await eventually(lambda: not alive(family))
    assert not (stack.data_dir.path / "stack.json").exists()


async def test_a_program_that_hears_nothing_is_killed(make_stack: MakeStack, log: Log) -> None:
    """One hanging process must not keep the others alive."""
    stack = make_stack(plans(persist="ignore", grace_s=0.2))
    await start(stack)
    await eventually(lambda: ("persist", "deaf") in log)

    await asyncio.to_thread(stack.stop)

    assert ("up", "persist did not end within 0.2 s and was killed") in log


@pytest.mark.parametrize("name", ["serve", "persist", "valkey", "postgres"])
async def test_a_killed_process_comes_back_where_it_was(make_stack: MakeStack, name: str) -> None:
    """A crash costs a moment; addresses stay, so clients find it again."""
    stack = make_stack()
    await start(stack)
    before, addresses = stack.pid(name), stack.addresses

    stack.kill(name)

    await eventually(lambda: stack.restarts(name) == 1 and stack.process(name).is_running)
    assert stack.pid(name) != before
    assert stack.addresses == addresses
    await eventually(lambda: told_by(stack.data_dir.path)["processes"][name] == stack.pid(name))


async def test_a_new_broker_is_made_known_to_its_clients(make_stack: MakeStack, log: Log) -> None:
    """The embedded broker comes back at another address, which a running process would never hear of."""
    stack = make_stack()
    await start(stack)

    stack.kill("broker")

    await eventually(lambda: stack.restarts("broker") == 1)
    address = f"broker {stack.addresses.kafka_brokers}"
    await eventually(lambda: {(client, address) for client in ("relay", "compensate", "persist")} <= set(log))


async def test_a_program_that_refuses_its_settings_is_not_started_again(make_stack: MakeStack, log: Log) -> None:
    """It would refuse them for ever, and its one line would be buried."""
    stack = make_stack(plans(persist="refuse"))
    await asyncio.to_thread(stack.start)

    await eventually(lambda: stack.failure is not None)

    assert stack.failure == "persist refuses its settings; its last line says which"
    assert ("persist", "HOLDFAST_DRAIN_S: makes no sense") in log
    assert stack.restarts("persist") == 0


async def test_what_is_taken_down_stays_down(make_stack: MakeStack, log: Log) -> None:
    """A test's outage lasts as long as the test wants, and files may be changed meanwhile."""
    stack = make_stack()
    await start(stack)
    await eventually(lambda: at_work(log) == NAMES_OF_OURS)
    with Redis.from_url(stack.addresses.redis_url) as redis:
        redis.set("kept", "yes")

    await asyncio.to_thread(stack.take_down, "valkey")
    shutil.rmtree(stack.server("valkey").data_dir / "appendonlydir")
    assert stack.find_missing() == "valkey does not run"
    await asyncio.to_thread(stack.bring_up, "valkey")

    with Redis.from_url(stack.addresses.redis_url) as redis:
        assert redis.get("kept") is None
    await eventually(lambda: stack.find_missing() == "16 of 16 shards are not served; shard 0 is blank")


async def test_data_is_kept_and_shards_are_opened_once(make_stack: MakeStack) -> None:
    """A second `up` finds what the first one left, and never opens what was opened."""
    first = make_stack()
    await start(first)
    await asyncio.to_thread(first.stop)

    second = make_stack()
    await start(second)

    with Redis.from_url(second.addresses.redis_url) as redis:
        assert redis.get("times_opened") == b"1"


async def test_an_opening_that_failed_is_tried_again(make_stack: MakeStack) -> None:
    """A crash in the middle of `init` must not leave shards closed for ever."""
    first = make_stack(replace(plans(), init=plan("init", "refuse")))
    with pytest.raises(StackFailed, match="init ended with code 2"):
        await start(first)
    await asyncio.to_thread(first.stop)

    second = make_stack()
    await start(second)

    await eventually(lambda: second.find_missing() is None)


async def test_two_stacks_never_share_a_folder(make_stack: MakeStack) -> None:
    """Two Valkeys on one append-only file would ruin it."""
    first = make_stack()
    await start(first)
    second = make_stack()

    with pytest.raises(BadDataDir, match=rf"another stack \(process {os.getpid()}\) uses .*--data-dir"):
        await start(second)

    await asyncio.to_thread(second.stop)
    await eventually(lambda: first.find_missing() is None)
    assert told_by(first.data_dir.path)["ready"]


async def test_an_address_that_is_taken_is_refused(make_stack: MakeStack, tmp_path: Path) -> None:
    """Servers share their port with whoever allows it, so half of the calls would go to another stack."""
    first = make_stack()
    await start(first)
    second = make_stack(data_dir=tmp_path / "other", listen=first.addresses.listen)

    with pytest.raises(StackFailed, match=r"listens on .* already; choose another address with --listen"):
        await start(second)


async def test_a_folder_made_for_another_number_of_shards_is_refused(make_stack: MakeStack) -> None:
    """Every sale would move to another shard."""
    first = make_stack(environment={"HOLDFAST_SHARDS": "2"})
    await start(first)
    await asyncio.to_thread(first.stop)

    with pytest.raises(BadDataDir, match="was made for 2 shards and HOLDFAST_SHARDS is 16"):
        await start(make_stack())


async def test_a_folder_of_another_version_is_refused(make_stack: MakeStack, tmp_path: Path) -> None:
    """Its files may mean something else."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "holdfast.json").write_text('{"layout": 99, "shards": 16, "opened": true}')

    with pytest.raises(BadDataDir, match="another version of Holdfast"):
        await start(make_stack())


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    """Where a server runs that is none of the stack's; the parameter is the name of its fixture."""
    return str(request.getfixturevalue(request.param))


@pytest.mark.parametrize(
    ("variable", "server", "address"),
    [
        ("HOLDFAST_REDIS_URL", "valkey", "shared_valkey"),
        ("HOLDFAST_POSTGRES_DSN", "postgres", "postgres"),
        ("HOLDFAST_KAFKA_BROKERS", "broker", "broker"),
    ],
    indirect=["address"],
)
async def test_a_real_server_takes_an_embedded_ones_place(
    make_stack: MakeStack, variable: str, server: str, address: str
) -> None:
    """The address in the environment is what the programs get, and no server of ours is started for it."""
    stack = make_stack(environment={variable: address})

    await start(stack)

    assert address in stack.addresses
    assert server not in told_by(stack.data_dir.path)["processes"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_no_process_outlives_the_supervisor(tmp_path: Path, ending: signal.Signals) -> None:
    """Asked to end or killed itself, it leaves nothing behind that holds ports or data."""
    with up(tmp_path) as supervisor:
        told = await eventually(lambda: ready_told_by(tmp_path), UP_DEADLINE_S)
        family = psutil.Process(supervisor.pid).children(recursive=True)
        assert set(told["processes"].values()) <= {process.pid for process in family}

        supervisor.send_signal(ending)

        code = await asyncio.to_thread(supervisor.wait, UP_DEADLINE_S)
        assert code == (-signal.SIGKILL if ending == signal.SIGKILL else 0)
        await eventually(lambda: not alive(family))


async def test_a_second_ctrl_c_ends_everything_at_once(tmp_path: Path) -> None:
    """Whoever has no time for an orderly end does not have to wait for it."""
    with up(tmp_path) as supervisor:
        told = await eventually(lambda: ready_told_by(tmp_path), UP_DEADLINE_S)
        family = psutil.Process(supervisor.pid).children(recursive=True)
        os.kill(told["processes"]["serve"], signal.SIGSTOP)  # it will not drain

        supervisor.send_signal(signal.SIGINT)
        supervisor.send_signal(signal.SIGTERM)

        assert await asyncio.to_thread(supervisor.wait, UP_DEADLINE_S) == 130
        await eventually(lambda: not alive(family))


async def test_a_killed_supervisors_data_is_taken_up_by_the_next(tmp_path: Path) -> None:
    """The folder's lock ends with its holder, and servers recover from their own crash."""
    with up(tmp_path) as first:
        await eventually(lambda: ready_told_by(tmp_path), UP_DEADLINE_S)
        first.kill()
        first.wait()

    with up(tmp_path) as second:
        told = await eventually(lambda: ready_told_by(tmp_path, second.pid), UP_DEADLINE_S)

        with Redis.from_url(told["addresses"]["redis_url"]) as redis:
            assert redis.get("times_opened") == b"1"


async def start(stack: Stack) -> None:
    """Start a stack and wait until it is ready, without holding up the test's loop."""
    await asyncio.to_thread(stack.start)
    await asyncio.to_thread(stack.wait_ready, UP_DEADLINE_S)


@contextmanager
def up(data_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `holdfast up` with fake programs as a process of its own, for as long as the test wants."""
    process = subprocess.Popen([sys.executable, "-m", "tests.fake_programs", "up", str(data_dir)], env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def at_work(log: Log) -> set[str]:
    """Return the names of the fake programs that have begun to work."""
    return {name for name, line in log if name in NAMES_OF_OURS and line.startswith("broker ")}


def told_by(data_dir: Path) -> dict[str, Any]:
    """Read what a stack tells of itself; nothing if it tells nothing."""
    path = data_dir / "stack.json"
    return json.loads(path.read_text()) if path.exists() else {}


def ready_told_by(data_dir: Path, pid: int | None = None) -> dict[str, Any]:
    """Read it once everything is ready; nothing before, or if another supervisor than `pid` wrote it."""
    told = told_by(data_dir)
    return told if told.get("ready") and pid in (None, told["pid"]) else {}


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run."""
    return [process for process in processes if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """Say whether it still runs; one that ended and whom nobody has asked for yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
