"""A strategy that runs: its processes, what can be killed of it, and what its books say."""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import asyncpg
from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.process import Process, spawn, wait_until
from holdfast_embedded.readiness import is_answering
from redis import Redis

from bench.machine import ROOT
from bench.programs import ENVIRONMENT
from bench.strategies.catalog import SERVER, WORKER, WORKERS
from bench.strategies.queue import Worker
from bench.strategies.stores import Stores

START_S = 60.0
CONNECT_S, QUERY_S = 10.0, 60.0


class NotReady(RuntimeError):
    """A process did not come up, or a queue did not empty; the message says which."""


class System(ABC):
    """One strategy with servers of its own or shared ones."""

    name: str
    address: str
    owns_stores = False  # whether `kill` and `restore` take its stores too

    @abstractmethod
    def programs(self) -> Mapping[str, int]:
        """The pids of its processes, stores apart."""

    @abstractmethod
    def stores(self) -> Mapping[str, int]:
        """The pids of its stores."""

    @abstractmethod
    def kill(self, part: str) -> None:
        """Kill one of its processes with SIGKILL, and keep it down."""

    @abstractmethod
    def restore(self, part: str) -> None:
        """Start the process that was killed, without waiting for it."""

    @abstractmethod
    def drain(self, sale_id: str, within_s: float) -> None:
        """Wait until no order of a sale waits to be recorded; NotReady if some do at the end."""

    @abstractmethod
    def recorded(self, sale_id: str) -> set[str]:
        """The reservation ids of the orders in PostgreSQL, read from its table."""

    @abstractmethod
    def answer_is_on_disk(self) -> str:
        """Where an accepted order lies when the buyer is answered, by the settings of the servers as they run."""


class Program(Process):
    """A Python module as a child process whose output goes to a file."""

    def __init__(self, name: str, log: Path, *arguments: str) -> None:
        super().__init__(name)
        self._log = log
        self._arguments = arguments

    def start(self) -> None:
        """Start the process, without waiting for it."""
        with self._log.open("ab") as output:
            command = [sys.executable, "-m", *self._arguments]
            # Found by its path, for the child is started in the folder of this process.
            env = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
            self._process = spawn(command, env=env, stdout=output, stderr=output)

    def log_tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])


class StrategySystem(System):
    """One of the six: a server and perhaps a worker, on a Redis and a PostgreSQL that it does not start itself."""

    def __init__(self, name: str, folder: Path, stores: Stores) -> None:
        self.name = name
        self.address = f"{LOOPBACK}:{free_port()}"
        self._stores = stores
        addresses = ("--postgres", stores.postgres.address, "--redis", stores.redis.address)
        serve = ("bench.strategies.server", name, "--listen", self.address, *addresses)
        self._programs = {SERVER: Program(SERVER, folder / f"{name}-server.log", *serve)}
        self._worker: type[Worker] | None = WORKERS.get(name)
        if self._worker is not None:
            work = ("bench.strategies.worker", name, *addresses)
            self._programs[WORKER] = Program(WORKER, folder / f"{name}-worker.log", *work)

    def start(self) -> None:
        """Start the processes, and return once calls are answered."""
        for part in self._programs:
            self.restore(part)
        if not wait_until(lambda: is_answering(self.address), START_S):
            raise NotReady(f"the server of {self.name} did not start:\n{self._programs[SERVER].log_tail()}")

    def stop(self) -> None:
        """Stop the processes; harmless when they have not started."""
        for program in self._programs.values():
            program.stop(grace_s=5.0)

    def programs(self) -> Mapping[str, int]:
        return {part: program.pid for part, program in self._programs.items()}

    def stores(self) -> Mapping[str, int]:
        return {name: server.pid for name, server in self._stores.servers.items()}

    def kill(self, part: str) -> None:
        self._programs[part].kill()

    def restore(self, part: str) -> None:
        self._programs[part].start()

    def drain(self, sale_id: str, within_s: float) -> None:
        if self._worker is None:
            return
        stream, worker = self._worker.stream, self._programs[WORKER]
        with Redis.from_url(self._stores.redis.address) as client:
            wait_until(lambda: client.xlen(stream) == 0 or not worker.is_running, within_s)
            if waiting := client.xlen(stream):
                raise NotReady(f"{waiting} orders of {self.name} were not recorded:\n{worker.log_tail()}")

    def recorded(self, sale_id: str) -> set[str]:
        return ids_in(self._stores.postgres.address, "select reservation_id from orders where sale_id = $1", sale_id)

    def answer_is_on_disk(self) -> str:
        if self._worker is None:
            return f"yes: in PostgreSQL, {postgres_durability(self._stores.postgres.address)}"
        return redis_durability(self._stores.redis.address)


def ids_in(dsn: str, query: str, sale_id: str) -> set[str]:
    """The first column of a query about a sale."""

    async def fetched() -> set[str]:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=QUERY_S)
        try:
            return {row[0] for row in await connection.fetch(query, sale_id)}
        finally:
            await connection.close()

    return asyncio.run(fetched())


def postgres_durability(dsn: str) -> str:
    """The settings by which PostgreSQL puts a commit on disk, as it runs."""

    async def shown() -> list[str]:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, command_timeout=QUERY_S)
        try:
            return [f"{name} {await connection.fetchval(f'show {name}')}" for name in ("fsync", "synchronous_commit")]
        finally:
            await connection.close()

    return ", ".join(asyncio.run(shown()))


def redis_durability(url: str) -> str:
    """Whether Redis syncs before it answers, as it runs."""
    with Redis.from_url(url, decode_responses=True) as client:
        settings = {**client.config_get("appendonly"), **client.config_get("appendfsync")}
    if settings["appendonly"] != "yes":
        return "no: in the memory of Redis, appendonly no"
    synced = settings["appendfsync"] == "always"
    return f"{'yes: in' if synced else 'no: in the memory of'} Redis, appendfsync {settings['appendfsync']}"
