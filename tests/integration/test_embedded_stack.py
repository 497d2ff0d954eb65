"""A stack starts, restarts and stops its processes in the right order, and hands each the right addresses."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from holdfast_embedded.data_dir import BadDataDir, DataDir
from holdfast_embedded.program import ProgramSpecs
from holdfast_embedded.server_factories import ServerFactories
from holdfast_embedded.stack import Stack, StackFailed
from redis import Redis

from tests.fake_programs import fake_spec, fake_specs
from tests.integration.stack_state import read_state, still_running
from tests.servers import CopiedEmbeddedPostgres
from tests.stacks import ENVIRONMENT
from tests.waiting import eventually

PROGRAMS = {"serve", "relay", "compensate", "persist"}
PROCESSES = {"valkey", "postgres", "broker"} | PROGRAMS
READY_S = 60.0

Log = list[tuple[str, str]]
MakeStack = Callable[..., Stack]


@pytest.fixture
def log() -> Log:
    """The output of every process of the test's stacks: (name, line)."""
    return []


@pytest.fixture
def make_stack(tmp_path: Path, log: Log) -> Iterator[MakeStack]:
    """Make stacks of fake programs in one data folder; they are stopped afterwards."""
    with ExitStack() as stacks:

        def make(specs: ProgramSpecs | None = None, listen: str = "127.0.0.1:0") -> Stack:
            stack = Stack(
                tmp_path,
                ENVIRONMENT,
                lambda name, line: log.append((name, line)),
                listen,
                specs or fake_specs(),
                ServerFactories(postgres=CopiedEmbeddedPostgres),
            )
            stacks.callback(stack.stop)
            return stack

        yield make


async def test_the_data_folder_names_every_process_and_address(make_stack: MakeStack) -> None:
    """The demo, tests and users find pids and addresses in stack.json."""
    stack = make_stack()

    await start(stack)

    state = read_state(stack.data_dir.path)
    assert state["ready"]
    assert state["addresses"] == stack.addresses._asdict()
    assert state["processes"] == {name: stack.pid(name) for name in PROCESSES}
    assert all(psutil.pid_exists(pid) for pid in state["processes"].values())


async def test_processes_stop_in_order(make_stack: MakeStack, log: Log) -> None:
    """The server that takes calls stops first, so that the others still process its commits."""
    shared_servers = set(psutil.Process().children(recursive=True))
    stack = make_stack()
    await start(stack)
    await eventually(lambda: working(log) == PROGRAMS)
    own = [process for process in psutil.Process().children(recursive=True) if process not in shared_servers]

    await asyncio.to_thread(stack.stop)

    stopped = [name for name, line in log if line == "stopped in order"]
    assert stopped == ["serve", "compensate", "relay", "persist"]
    await eventually(lambda: not still_running(own))
    assert read_state(stack.data_dir.path) == {}


async def test_a_program_that_ignores_sigterm_is_killed(make_stack: MakeStack, log: Log) -> None:
    """One hanging process must not keep the others alive."""
    stack = make_stack(fake_specs(persist="hang", grace_s=0.2))
    await start(stack)
    await eventually(lambda: ("persist", "ignores SIGTERM") in log)

    await asyncio.to_thread(stack.stop)

    assert ("up", "persist did not end within 0.2 s and was killed") in log


async def test_killed_processes_are_restarted_at_their_addresses(make_stack: MakeStack) -> None:
    """Clients reconnect after a crash without a new address."""
    names = ("serve", "valkey", "postgres")
    stack = make_stack()
    await start(stack)
    pids, addresses = {name: stack.pid(name) for name in names}, stack.addresses

    for name in names:
        stack.kill(name)

    await eventually(lambda: all(stack.restarts(name) == 1 and stack.process(name).is_running for name in names))
    assert all(stack.pid(name) != pids[name] for name in names)
    assert stack.addresses == addresses
    await eventually(
        lambda: read_state(stack.data_dir.path)["processes"] == {name: stack.pid(name) for name in PROCESSES}
    )


async def test_the_clients_of_a_restarted_broker_get_its_new_address(make_stack: MakeStack, log: Log) -> None:
    """The embedded broker has another address after each start, which a running process cannot learn."""
    stack = make_stack()
    await start(stack)

    stack.kill("broker")

    await eventually(lambda: stack.restarts("broker") == 1)
    address = f"broker {stack.addresses.kafka_brokers}"
    await eventually(lambda: {(client, address) for client in ("relay", "compensate", "persist")} <= set(log))


async def test_a_program_that_rejects_its_settings_is_not_restarted(make_stack: MakeStack, log: Log) -> None:
    """It would fail in the same way each time, and its one line would scroll away."""
    stack = make_stack(fake_specs(persist="reject_settings"))
    await asyncio.to_thread(stack.start)

    await eventually(lambda: stack.failure is not None)

    assert stack.failure == "persist rejects its settings; its last line says which"
    assert ("persist", "HOLDFAST_DRAIN_S: makes no sense") in log
    assert stack.restarts("persist") == 0


async def test_a_process_that_was_taken_down_stays_down(make_stack: MakeStack, log: Log) -> None:
    """A test's outage lasts until `bring_up`, and files may be changed meanwhile."""
    stack = make_stack()
    await start(stack)
    await eventually(lambda: working(log) == PROGRAMS)
    with Redis.from_url(stack.addresses.redis_url) as redis:
        redis.set("kept", "yes")

    await asyncio.to_thread(stack.take_down, "valkey")
    shutil.rmtree(stack.server("valkey").data_dir / "appendonlydir")
    assert stack.not_ready_reason() == "valkey does not run"
    await asyncio.to_thread(stack.bring_up, "valkey")

    with Redis.from_url(stack.addresses.redis_url) as redis:
        assert redis.get("kept") is None
    await eventually(lambda: stack.not_ready_reason() == "16 of 16 shards are not served; shard 0 is blank")


async def test_a_second_start_keeps_the_data_and_opens_no_shard(make_stack: MakeStack) -> None:
    """Shards are opened once: a store that has lost its data needs a restore, and must not look new."""
    first = make_stack()
    await start(first)
    await asyncio.to_thread(first.stop)

    second = make_stack()
    await start(second)

    with Redis.from_url(second.addresses.redis_url) as redis:
        assert redis.get("times_opened") == b"1"


async def test_shards_are_opened_at_the_next_start_if_init_failed(make_stack: MakeStack) -> None:
    """A crash during `init` must not leave shards closed for good."""
    first = make_stack(replace(fake_specs(), init=fake_spec("init", "reject_settings")))
    with pytest.raises(StackFailed, match="init ended with code 2"):
        await start(first)
    await asyncio.to_thread(first.stop)

    second = make_stack()
    await start(second)

    await eventually(lambda: second.not_ready_reason() is None)


async def test_a_data_folder_in_use_is_rejected(make_stack: MakeStack, tmp_path: Path) -> None:
    """Two Valkeys on one append-only file would corrupt it; the running stack's stack.json stays."""
    in_use = DataDir(tmp_path)
    with in_use.locked():
        in_use.write_state({"pid": os.getpid()})
        second = make_stack()

        with pytest.raises(BadDataDir, match=rf"another stack \(process {os.getpid()}\) uses .*--data-dir"):
            await start(second)

        await asyncio.to_thread(second.stop)
        assert read_state(tmp_path) == {"pid": os.getpid()}


async def test_an_address_in_use_is_rejected(make_stack: MakeStack) -> None:
    """gRPC servers can share a port (SO_REUSEPORT), so half of the calls would go to another stack."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        stack = make_stack(listen=f"127.0.0.1:{other.getsockname()[1]}")

        with pytest.raises(StackFailed, match=r"listens on .* already; choose another address with --listen"):
            await start(stack)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        pytest.param('{"layout": 1, "shards": 2, "opened": true}', "made for 2 shards and HOLDFAST_SHARDS is 16"),
        pytest.param('{"layout": 99, "shards": 16, "opened": true}', "another version of Holdfast"),
        pytest.param('{"layout"', "cannot be read"),
    ],
    ids=["other-shards", "other-version", "unreadable"],
)
async def test_a_data_folder_that_does_not_fit_is_rejected(
    make_stack: MakeStack, tmp_path: Path, manifest: str, reason: str
) -> None:
    """With another number of shards sales would move between shards, and another version's files may differ."""
    (tmp_path / "holdfast.json").write_text(manifest)

    with pytest.raises(BadDataDir, match=reason):
        await start(make_stack())


async def start(stack: Stack) -> None:
    """Start a stack and wait until it is ready, without blocking the test's event loop."""
    await asyncio.to_thread(stack.start)
    await asyncio.to_thread(stack.wait_ready, READY_S)


def working(log: Log) -> set[str]:
    """Return the names of the fake programs that have started to work."""
    return {name for name, line in log if name in PROGRAMS and line.startswith("broker ")}
