"""A whole stack as one object: three servers and every Holdfast process, to start, stop, kill and restart."""

import os
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal

from holdfast_embedded.console import WriteLine
from holdfast_embedded.data_dir import DataDir
from holdfast_embedded.process import Process
from holdfast_embedded.program import Program, ProgramSpec, ProgramSpecs
from holdfast_embedded.readiness import is_listening, not_ready_reason
from holdfast_embedded.server import KafkaServer, Server
from holdfast_embedded.server_factories import ServerFactories
from holdfast_embedded.stack_servers import Addresses, StackServers
from holdfast_embedded.supervisor import Supervisor, describe_exit

DEFAULT_SHARDS = 16
DEFAULT_LISTEN = "127.0.0.1:50051"
SERVER_GRACE_S = 15.0
CLIENT_GRACE_S = 2.0  # for a program whose broker is gone: its shutdown may hang, and unfinished work is sent again
READY_POLL_S = 0.1


class StackFailed(RuntimeError):
    """The stack cannot be started or go on; the message says why."""


class Stack:
    """Everything that `holdfast up` runs.

    `environment` is given to Holdfast's programs. Its HOLDFAST_REDIS_URL, HOLDFAST_POSTGRES_DSN and
    HOLDFAST_KAFKA_BROKERS each name an external server, used instead of the one that `factories` would make. Every
    method may be called from any thread and blocks until it is done, so a coroutine calls it by `asyncio.to_thread`.
    """

    def __init__(
        self,
        data_dir: Path,
        environment: Mapping[str, str],
        write_line: WriteLine,
        listen: str = DEFAULT_LISTEN,
        specs: ProgramSpecs | None = None,
        factories: ServerFactories | None = None,
    ) -> None:
        self.data_dir = DataDir(data_dir)
        self.shards = read_shards(environment)
        self._write_line = write_line
        self._specs = specs or ProgramSpecs()
        self._servers = StackServers(
            self.data_dir.path, environment, listen, self.shards, factories or ServerFactories()
        )
        self._programs = [Program(spec, self._servers.program_environment, write_line) for spec in self._specs.services]
        self._supervisor = Supervisor(write_line, self._after_restart)
        self._data_dir_lock = ExitStack()
        self._stopping = threading.Event()
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
        """All present addresses; the embedded broker's changes with each of its starts."""
        return self._servers.addresses

    @property
    def embedded_addresses(self) -> dict[str, str]:
        """The variables that lead another program to the embedded servers, with their values."""
        return self._servers.embedded_addresses

    @property
    def failure(self) -> str | None:
        """Why the stack cannot go on; None if it can."""
        return self._supervisor.failure

    def start(self) -> None:
        """Start servers and programs, and set up what is new; StackFailed, ServerFailed or BadDataDir if not."""
        self._supervisor.submit(self._start).result()

    def stop(self) -> None:
        """Stop everything in order: first the program that takes calls, last the servers. May be called twice."""
        self._stopping.set()
        if self._supervisor.is_closed:
            return
        self._supervisor.submit(self._stop).result()
        self._supervisor.close()

    def kill_all(self) -> None:
        """Kill every process at once."""
        self._stopping.set()
        for process in self._processes():
            self._supervisor.disable_restart(process)
            process.kill()

    def wait_ready(self, deadline_s: float = 60.0) -> None:
        """Return when every shard is served; StackFailed if not within the deadline."""
        deadline = time.monotonic() + deadline_s
        while (reason := self.not_ready_reason()) is not None:
            if self.failure or self._stopping.is_set():
                raise StackFailed(self.failure or "the stack is stopping")
            if time.monotonic() >= deadline:
                raise StackFailed(f"not ready within {deadline_s:g} s: {reason}")
            time.sleep(READY_POLL_S)
        self._ready = True
        self._supervisor.submit(self._write_state).result()

    def not_ready_reason(self) -> str | None:
        """Return why calls cannot be answered yet; None if they can."""
        for process in self._processes():
            if not process.is_running:
                return f"{process.name} does not run"
        return not_ready_reason(self.addresses.redis_url, self._servers.listen, self.shards)

    def pid(self, name: str) -> int:
        """Return the process id of the latest start of a process: valkey, postgres, broker, serve, relay, ..."""
        return self.process(name).pid

    def restarts(self, name: str) -> int:
        """Return how often the supervisor has restarted a process."""
        return self._supervisor.restarts(name)

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL; the supervisor restarts it."""
        self.process(name).kill()

    def take_down(self, name: str, how: Literal["stop", "kill"] = "stop") -> None:
        """Stop or kill a process and keep it down until `bring_up`; meanwhile its files may be changed."""
        process = self.process(name)
        self._supervisor.submit(lambda: self._supervisor.disable_restart(process)).result()
        process.stop(SERVER_GRACE_S) if how == "stop" else process.kill()

    def bring_up(self, name: str) -> None:
        """Start a process that was taken down."""
        self._supervisor.submit(lambda: self._start_one(self.process(name))).result()

    def process(self, name: str) -> Process:
        """Return one process by its name; KeyError if this stack has none of that name."""
        return {process.name: process for process in self._processes()}[name]

    def server(self, name: str) -> Server:
        """Return an embedded server, with its data folder; KeyError if an external one is used instead."""
        return self._servers.embedded[name]

    def create_topics(self, *names: str) -> None:
        """Create more topics on the embedded broker, with a partition a shard; StackFailed if Kafka is external."""
        if "broker" not in self._servers.embedded:
            raise StackFailed(f"{', '.join(names)}: create it in your Kafka, with {self.shards} partitions")
        broker = self.server("broker")
        assert isinstance(broker, KafkaServer)
        broker.create_topics(*names)

    def reset_topics(self) -> None:
        """Empty the topics of the embedded broker."""
        broker = self.server("broker")
        assert isinstance(broker, KafkaServer)
        broker.reset_topics()

    def _processes(self) -> list[Process]:
        return [*self._servers.embedded.values(), *self._programs]

    def _start(self) -> None:
        self._data_dir_lock.enter_context(self.data_dir.locked())
        self._data_dir_lock.callback(self.data_dir.remove_state)  # before the lock is released
        self.data_dir.remove_state()
        self.data_dir.load_or_create_manifest(self.shards)
        listen = self._servers.listen
        if is_listening(listen):  # SO_REUSEPORT would split the calls between two servers
            raise StackFailed(f"another server listens on {listen} already; choose another address with --listen")
        for server in self._servers.embedded.values():
            self._check_not_stopping()
            self._supervisor.start(server)
            self._write_line("up", f"{server.name} is ready at {server.address}")
        self._set_up()
        for program in self._programs:
            self._check_not_stopping()
            self._supervisor.start(program)
        self._write_state()

    def _set_up(self) -> None:
        """Create tables and topics, and open the shards unless that has succeeded before."""
        self._run_to_completion(self._specs.migrate)
        if "broker" not in self._servers.embedded:
            self._run_to_completion(self._specs.topics)
        # `init` changes nothing unless every shard may be opened, and skips open ones. On embedded servers it runs
        # until it has succeeded once: stores that lose their data later need a restore instead.
        if self._servers.has_external or not self.data_dir.load_or_create_manifest(self.shards).opened:
            self._run_to_completion(self._specs.init)
            self.data_dir.mark_opened()

    def _run_to_completion(self, spec: ProgramSpec) -> None:
        """Run a program until it exits; StackFailed if it does not succeed."""
        program = Program(spec, self._servers.program_environment, self._write_line)
        program.start()
        try:
            while not program.wait_for_exit(within_s=READY_POLL_S):
                self._check_not_stopping()
        finally:
            program.stop(CLIENT_GRACE_S)
        if program.exit_code != 0:
            raise StackFailed(f"{spec.name} {describe_exit(program.exit_code)}; its last lines say why")

    def _start_one(self, process: Process) -> None:
        self._supervisor.start(process)
        self._after_restart(process)

    def _after_restart(self, process: Process) -> None:
        """Restart the broker's clients if its address has changed, and write the new pids."""
        if isinstance(process, KafkaServer) and not process.keeps_address:
            self._write_line("up", f"the broker is now at {self.addresses.kafka_brokers}; restarting its clients")
            clients = [program for program in self._programs if program.spec.uses_broker]
            self._supervisor.stop(clients, CLIENT_GRACE_S)
            for client in clients:
                self._supervisor.start(client)
        self._write_state()

    def _stop(self) -> None:
        for program in self._programs:
            self._supervisor.stop([program], program.spec.grace_s)
        self._supervisor.stop(list(self._servers.embedded.values()), SERVER_GRACE_S)
        self._data_dir_lock.close()

    def _write_state(self) -> None:
        self.data_dir.write_state(
            {
                "pid": os.getpid(),
                "ready": self._ready,
                "addresses": self.addresses._asdict(),
                "processes": {process.name: process.pid for process in self._processes()},
            }
        )

    def _check_not_stopping(self) -> None:
        """Abort the start when a stop was requested meanwhile."""
        if self._stopping.is_set():
            raise StackFailed("the stack was stopped before everything had started")


def read_shards(environment: Mapping[str, str]) -> int:
    """Return the number of shards, which the broker needs before Holdfast's programs can validate it."""
    text = environment.get("HOLDFAST_SHARDS", str(DEFAULT_SHARDS))
    if not text.isdecimal() or int(text) == 0:
        raise StackFailed(f"HOLDFAST_SHARDS: must be a whole number from 1, and is {text!r}")
    return int(text)
