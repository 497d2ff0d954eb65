"""A primary, two replicas and three Sentinels that watch them, on ports of their own."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.process import spawn
from holdfast_embedded.server import Server
from holdfast_embedded.valkey import PROBE_TIMEOUT_S, Valkey
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tests.servers import new_valkey
from tests.waiting import eventually

NAME = "holdfast"
SENTINELS, REPLICAS = 3, 2
DOWN_AFTER_MS = 2000
FAILS_OVER_S = 120.0
REPLICATED = {"repl-diskless-sync-delay": "0", "repl-backlog-ttl": "0"}


class Sentinel(Server):
    """One Sentinel, the same program as `server` in another mode; `address` is host:port."""

    def __init__(self, data_dir: Path, server: Valkey, primary_port: int) -> None:
        super().__init__("sentinel", data_dir)
        self.port = free_port()
        self._program = server._program()
        self._primary_port = primary_port

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self.port}"

    def _spawn(self) -> "subprocess.Popen[bytes]":
        """It writes what it learns into its file, which is made for its first start alone."""
        file = self.data_dir / "sentinel.conf"
        if not file.exists():
            file.write_text(
                f"port {self.port}\nbind {LOOPBACK}\ndir {self.data_dir}\n"
                f"sentinel monitor {NAME} {LOOPBACK} {self._primary_port} {SENTINELS // 2 + 1}\n"
                f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {NAME} 10000\n"
            )
        with self.log_path.open("ab") as log:
            return spawn([self._program, file, "--sentinel"], stdout=log, stderr=log)

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=PROBE_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False


class WatchedRedis:
    """The servers, of which any may be killed."""

    def __init__(self, redis: list[Valkey], sentinels: list[Sentinel]) -> None:
        self.redis = redis
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        """The address that Holdfast is given."""
        return f"redis+sentinel://{','.join(each.address for each in self.sentinels)}/{NAME}"

    async def primary(self) -> Valkey:
        """The one that takes writes; AssertionError unless one alone says that it does, and all Sentinels name it."""
        masters = [each for each in self.redis if each.is_running and await role_of(each) == "master"]
        named = {await named_by(each) for each in self.sentinels if each.is_running}
        ports = [each.port for each in masters]
        assert (len(ports), named) == (1, set(ports)), f"{ports} lead, and the Sentinels name {named}"
        return masters[0]

    async def primary_after(self, former: Valkey) -> Valkey:
        """Another primary than this one, once all agree."""

        async def is_another() -> Valkey:
            """A replica has been promoted."""
            primary = await self.primary()
            assert primary is not former
            return primary

        return await eventually(is_another, FAILS_OVER_S)

    @asynccontextmanager
    async def cut_off(self, primary: Valkey) -> AsyncIterator[None]:
        """What the primary writes inside the block stays with it: its replicas are halted, and their links closed.

        A replica that is halted alone would read later what had been sent to it.
        """
        replicas = [each for each in self.redis if each is not primary and each.is_running]
        for each in replicas:
            each.signal(signal.SIGSTOP)
        try:
            async with Redis.from_url(primary.address) as client:
                await client.execute_command("CLIENT", "KILL", "TYPE", "REPLICA")  # type: ignore[no-untyped-call]
            yield
        finally:
            for each in replicas:
                each.signal(signal.SIGCONT)

    async def begins_failover(self) -> bool:
        """A Sentinel has begun to promote a replica, which it may refuse while it finds out how they are."""
        async with Redis.from_url(f"redis://{self.sentinels[0].address}") as client:
            try:
                await client.execute_command("SENTINEL", "FAILOVER", NAME)  # type: ignore[no-untyped-call]
            except ResponseError:
                return False
        return True

    async def replicate(self) -> None:
        """Return when the primary has the other servers that run as replicas, and has sent them its data."""

        async def is_replicated() -> bool:
            """Every replica is online."""
            info = await replication_of(await self.primary())
            online = [info.get(f"slave{number}", {}).get("state") for number in range(REPLICAS)]
            assert online.count("online") == sum(each.is_running for each in self.redis) - 1, info
            return True

        await eventually(is_replicated, FAILS_OVER_S)


async def replication_of(server: Valkey) -> dict[str, Any]:
    """What it says of its replication."""
    async with Redis.from_url(server.address, decode_responses=True) as client:
        return dict(await client.info("replication"))


async def role_of(server: Valkey) -> str:
    """`master` or `slave`; '' if it does not answer."""
    try:
        return str((await replication_of(server))["role"])
    except RedisError:
        return ""


async def named_by(sentinel: Sentinel) -> int:
    """The port of the primary that a Sentinel names."""
    async with Redis.from_url(f"redis://{sentinel.address}") as client:
        reply = await client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)  # type: ignore[no-untyped-call]
    return int(reply[1])


async def follow(replica: Valkey, primary: Valkey) -> None:
    """Replicate a primary, and return once all of its data is there."""

    async def is_in_sync() -> bool:
        """It has the primary's data."""
        return bool((await replication_of(replica))["master_link_status"] == "up")

    async with Redis.from_url(replica.address) as client:
        await client.replicaof(LOOPBACK, str(primary.port))
    await eventually(is_in_sync)


async def configure(server: Valkey, settings: dict[str, str]) -> None:
    """Set these until it is started again."""
    async with Redis.from_url(server.address) as client:
        for name, value in settings.items():
            await client.config_set(name, value)


@asynccontextmanager
async def watched_redis(folder: Path) -> AsyncIterator[WatchedRedis]:
    """All of them in order; they are killed in the end."""
    with ExitStack() as started:

        async def start(server: Server) -> None:
            started.callback(server.kill)
            await asyncio.to_thread(server.start)

        redis = [new_valkey(folder / f"redis-{number}") for number in range(1 + REPLICAS)]
        for each in redis:
            await start(each)
            await configure(each, REPLICATED)
        for replica in redis[1:]:
            await follow(replica, redis[0])
        sentinels = [Sentinel(folder / f"sentinel-{number}", redis[0], redis[0].port) for number in range(SENTINELS)]
        for sentinel in sentinels:
            await start(sentinel)
        watched = WatchedRedis(redis, sentinels)
        await watched.replicate()
        await eventually(lambda: all_know_all(watched), FAILS_OVER_S)
        yield watched


async def all_know_all(watched: WatchedRedis) -> bool:
    """Every Sentinel knows the others and the replicas, without which it promotes none."""
    for sentinel in watched.sentinels:
        async with Redis.from_url(f"redis://{sentinel.address}", decode_responses=True) as client:
            report: Any = await client.execute_command("SENTINEL", "MASTER", NAME)  # type: ignore[no-untyped-call]
        fields = dict(zip(report[::2], report[1::2], strict=True)) if isinstance(report, list) else report
        known = (int(fields["num-other-sentinels"]), int(fields["num-slaves"]))
        assert known == (SENTINELS - 1, REPLICAS), known
    return True
