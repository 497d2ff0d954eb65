"""Runs the gRPC server of a strategy as Holdfast's server runs: as many server objects on one uvloop, the same options.

`python -m bench.strategies.server NAME --listen HOST:PORT --postgres DSN --redis URL`.
"""

import argparse
import asyncio
import gc
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import grpc
import uvloop

from bench.strategies.base import SCHEMA, connect_postgres, connect_redis
from bench.strategies.catalog import SERVERS
from bench.strategies.servicer import Servicer, handlers

GRACE_S = 2.0
# As in Holdfast's server, with which a test compares them.
LISTENERS = 8
GC_THRESHOLDS = (50_000, 20, 100)
OPTIONS = (
    ("grpc.so_reuseport", 1),
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)


async def serve(name: str, listen: str, postgres_dsn: str, redis_url: str) -> None:
    """Serve until SIGTERM."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    database, redis = await connect_postgres(postgres_dsn), connect_redis(redis_url)
    await database.execute(SCHEMA)
    servers = await started(handlers(Servicer(SERVERS[name](database, redis))), listen)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await asyncio.gather(*(server.stop(GRACE_S) for server in servers))
    database.terminate()


async def started(calls: Sequence[grpc.GenericRpcHandler], listen: str) -> Sequence[grpc.aio.Server]:
    """Server objects on one address, between which the kernel divides the connections."""
    with sched_batch():
        servers = [grpc.aio.server(options=OPTIONS) for _ in range(LISTENERS)]
        for server in servers:
            server.add_generic_rpc_handlers(calls)
            server.add_insecure_port(listen)
        for server in servers:
            await server.start()
    return servers


@contextmanager
def sched_batch() -> Iterator[None]:
    """Threads that begin within the block, gRPC's, do not preempt the loop when they wake; so it is in Holdfast."""
    set_policy("SCHED_BATCH")
    try:
        yield
    finally:
        set_policy("SCHED_OTHER")


def set_policy(name: str) -> None:
    """Set this thread's, where there is such a policy and it is not refused."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, getattr(os, name), os.sched_param(0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--postgres", required=True, metavar="DSN")
    parser.add_argument("--redis", required=True, metavar="URL")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.name, arguments.listen, arguments.postgres, arguments.redis))
