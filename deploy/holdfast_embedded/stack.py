"""A stack as one object: three servers and every process of ours, to start, to stop and to hurt."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from holdfast_embedded.console import Say
from holdfast_embedded.data_dir import DataDir
from holdfast_embedded.makers import Makers
from holdfast_embedded.ports import free_port
from holdfast_embedded.process import Process
from holdfast_embedded.program import Plan, Plans, Program
from holdfast_embedded.readiness import find_missing, is_listening
from holdfast_embedded.server import KafkaServer, Server
from holdfast_embedded.supervisor import Supervisor, describe_end

DEFAULT_SHARDS = 16
# What puts a server of somebody else's in the place of which of the stack's own.
OWN_SERVERS = {"HOLDFAST_REDIS_URL": "valkey", "HOLDFAST_POSTGRES_DSN": "postgres", "HOLDFAST_KAFKA_BROKERS": "broker"}
DEFAULT_LISTEN = "127.0.0.1:50051"
SERVER_GRACE_S = 15.0
CLIENT_GRACE_S = 2.0  # for a program whose broker is gone: it may hang, and what it had in hand is sent again
READY_POLL_S = 0.1


class StackFailed(RuntimeError):
    """The stack cannot be started or go on; the message says why."""


class Addresses(NamedTuple):
    """Where everything is."""

    redis_url: str
    postgres_dsn: str
    kafka_brokers: str
    listen: str


class Stack:
    """Everything that `holdfast up` runs.

    `environment` is what our programs get, and its HOLDFAST_REDIS_URL, HOLDFAST_POSTGRES_DSN and
    HOLDFAST_KAFKA_BROKERS each put a server of somebody else's in the place of one of the stack's own, which `makers`
    make. Every method may be called from any thread and waits until it is done, so from a coroutine call it by
    `asyncio.to_thread`.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str],
        say: Say,
        listen: str = DEFAULT_LISTEN,
        plans: Plans | None = None,
        makers: Makers | None = None,
    ) -> None:
        self.data_dir = DataDir(data_dir)
        self.shards = shards_from(environment)
        self._environment = dict(environment)
        self._say = say
        self._listen = with_port(listen)
        self._plans = plans or Plans()
        self._makers = makers or Makers()
        self._servers = self._choose_servers()
        self._programs = [Program(plan, self._program_environment, say) for plan in self._plans.services]
        self._supervisor = Supervisor(say, self._after_restart)
        self._held = ExitStack()
        self._leaving = threading.Event()
        self._ready = False

    def __enter__(self) -> "Stack":
        try:
            self.start()
        except BaseException:  # Ctrl-C too: what has started is stopped
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def addresses(self) -> Addresses:
        """Where everything is now; the embedded broker's address changes with each of its starts."""
        return Addresses(
            self._address("HOLDFAST_REDIS_URL"),
            self._address("HOLDFAST_POSTGRES_DSN"),
            self._address("HOLDFAST_KAFKA_BROKERS"),
            self._listen,
        )

    @property
    def own_addresses(self) -> dict[str, str]:
        """The variables, with their values, by which anybody reaches the stack's own servers."""
        return {variable: self._address(variable) for variable, name in OWN_SERVERS.items() if name in self._servers}

    @property
    def failure(self) -> str | None:
        """Why the stack cannot go on, if so."""
        return self._supervisor.failure

    def start(self) -> None:
        """Start the servers, prepare them, and start our programs; StackFailed, ServerFailed or BadDataDir if not."""
        self._supervisor.do(self._start).result()

    def stop(self) -> None:
        """End everything in order: who takes calls first, who holds data last. Again does no harm."""
        self._leaving.set()
        if self._supervisor.is_closed:
            return
        self._supervisor.do(self._stop).result()
        self._supervisor.close()

    def kill_all(self) -> None:
        """End everything at once."""
        self._leaving.set()
        for process in self._processes():
            self._supervisor.forget(process)
            process.kill()

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Return when every shard is served; StackFailed if not within the deadline."""
        deadline = time.monotonic() + deadline_s
        while (missing := self.find_missing()) is not None:
            if self.failure or self._leaving.is_set():
                raise StackFailed(self.failure or "it was asked to end")
            if time.monotonic() >= deadline:
                raise StackFailed(f"not ready within {deadline_s:g} s: {missing}")
            time.sleep(READY_POLL_S)
        self._ready = True
        self._supervisor.do(self._tell).result()

    def find_missing(self) -> str | None:
        """Return in words what is missing until calls can be answered; None if nothing is."""
        for process in self._processes():
            if not process.is_running:
                return f"{process.name} does not run"
        return find_missing(self.addresses.redis_url, self._listen, self.shards)

    def pid(self, name: str) -> int:
        """Return the process id of the latest start of a process: valkey, postgres, broker, serve, relay, ..."""
        return self.process(name).pid

    def restarts(self, name: str) -> int:
        """Tell how often the supervisor has started a process again."""
        return self._supervisor.restarts(name)

    def kill(self, name: str) -> None:
        """End a process with SIGKILL; the supervisor starts it again."""
        self.process(name).kill()

    def take_down(self, name: str, how: Literal["stop", "kill"] = "stop") -> None:
        """End a process and keep it down until `bring_up`; meanwhile its files may be changed."""
        process = self.process(name)
        self._supervisor.do(lambda: self._supervisor.forget(process)).result()
        process.stop(SERVER_GRACE_S) if how == "stop" else process.kill()

    def bring_up(self, name: str) -> None:
        """Start a process that was taken down."""
        self._supervisor.do(lambda: self._start_one(self.process(name))).result()

    def process(self, name: str) -> Process:
        """Return one process by its name; KeyError if this stack has none of that name."""
        return {process.name: process for process in self._processes()}[name]

    def server(self, name: str) -> Server:
        """Return one of the stack's own servers, with its data folder; KeyError if somebody else's is in its place."""
        return self._servers[name]

    def wipe_broker(self) -> None:
        """Empty the topics of the stack's own broker."""
        broker = self.server("broker")
        assert isinstance(broker, KafkaServer)
        broker.wipe()

    def _processes(self) -> list[Process]:
        return [*self._servers.values(), *self._programs]

    def _choose_servers(self) -> dict[str, Server]:
        """Make a server for every address that the environment does not give."""
        make: dict[str, Callable[[Path], Server]] = {
            "valkey": self._makers.valkey,
            "postgres": self._makers.postgres,
            "broker": lambda home: self._makers.broker(
                home, self.shards, self._environment.get("HOLDFAST_KAFKA_PREFIX", "")
            ),
        }
        own = [name for variable, name in OWN_SERVERS.items() if variable not in self._environment]
        return {name: make[name](self.data_dir.path / name) for name in own}

    def _address(self, variable: str) -> str:
        own = self._servers.get(OWN_SERVERS[variable])
        return own.address if own else self._environment[variable]

    def _program_environment(self) -> dict[str, str]:
        """Return what our programs are started with; what the user has set stands above our choices."""
        fitting = self._makers.broker_settings if "broker" in self._servers else {}
        where = self.addresses
        return {
            "HOLDFAST_START_WAIT_S": "0",  # servers are started and restarted beside them, in any order
            **fitting,
            **self._environment,
            "HOLDFAST_SHARDS": str(self.shards),
            "HOLDFAST_REDIS_URL": where.redis_url,
            "HOLDFAST_POSTGRES_DSN": where.postgres_dsn,
            "HOLDFAST_KAFKA_BROKERS": where.kafka_brokers,
            "HOLDFAST_LISTEN": where.listen,
        }

    def _start(self) -> None:
        self._held.enter_context(self.data_dir.held())
        self._held.callback(self.data_dir.tell_nothing)  # before it is let go of, and only if it was ours
        self.data_dir.tell_nothing()
        self.data_dir.open_book(self.shards)
        if is_listening(self._listen):  # a server of ours would share the port with it, and the calls
            raise StackFailed(f"somebody listens on {self._listen} already; choose another address with --listen")
        for server in self._servers.values():
            self._go_on()
            self._supervisor.start(server)
            self._say("up", f"{server.name} is ready at {server.address}")
        self._prepare()
        for program in self._programs:
            self._go_on()
            self._supervisor.start(program)
        self._tell()

    def _prepare(self) -> None:
        """Lay the tables and topics, and open the shards if that was not done or not finished."""
        self._run_once(self._plans.migrate)
        if "broker" not in self._servers:
            self._run_once(self._plans.topics)
        # `init` itself touches nothing unless every shard may be opened, and leaves open ones alone. On servers of
        # our own it is run until it came to its end once: stores that lose their data later need a restore instead.
        if len(self._servers) < len(OWN_SERVERS) or not self.data_dir.open_book(self.shards).opened:
            self._run_once(self._plans.init)
            self.data_dir.note_opened()

    def _run_once(self, plan: Plan) -> None:
        """Run a program to its end; StackFailed if it does not succeed."""
        program = Program(plan, self._program_environment, self._say)
        program.start()
        try:
            while not program.exited(within_s=READY_POLL_S):
                self._go_on()
        finally:
            program.stop(CLIENT_GRACE_S)
        if program.exit_code != 0:
            raise StackFailed(f"{plan.name} {describe_end(program.exit_code)}; its last lines say why")

    def _start_one(self, process: Process) -> None:
        self._supervisor.start(process)
        self._after_restart(process)

    def _after_restart(self, process: Process) -> None:
        """Give the broker's clients its new address if it has one, and tell the new pids."""
        if isinstance(process, KafkaServer) and not process.keeps_address:
            self._say("up", f"the broker is now at {self.addresses.kafka_brokers}; starting its clients anew")
            clients = [program for program in self._programs if program.plan.uses_broker]
            self._supervisor.stop(clients, CLIENT_GRACE_S)
            for client in clients:
                self._supervisor.start(client)
        self._tell()

    def _stop(self) -> None:
        for program in self._programs:
            self._supervisor.stop([program], program.plan.grace_s)
        self._supervisor.stop(list(self._servers.values()), SERVER_GRACE_S)
        self._held.close()

    def _tell(self) -> None:
        self.data_dir.tell(
            {
                "pid": os.getpid(),
                "ready": self._ready,
                "addresses": self.addresses._asdict(),
                "processes": {process.name: process.pid for process in self._processes()},
            }
        )

    def _go_on(self) -> None:
        """Leave the start when it is no longer wanted."""
        if self._leaving.is_set():
            raise StackFailed("it was asked to end before everything had started")


def shards_from(environment: Mapping[str, str]) -> int:
    """Read the number of shards, which the broker needs before our programs can judge it."""
    text = environment.get("HOLDFAST_SHARDS", str(DEFAULT_SHARDS))
    if not text.isdecimal() or int(text) == 0:
        raise StackFailed(f"HOLDFAST_SHARDS: must be a whole number from 1, and is {text!r}")
    return int(text)


def with_port(address: str) -> str:
    """Choose a port now where 0 was asked for, so that it stays the same when the server is started again."""
    host, _, port = address.rpartition(":")
    return f"{host}:{free_port()}" if port == "0" else address
