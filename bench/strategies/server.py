"""Runs the gRPC server of a strategy as Holdfast's server runs: as many server objects on one uvloop, the same options.

`python -m bench.strategies.server NAME --listen HOST:PORT --postgres DSN --redis URL`.
"""

import argparse
import asyncio
import gc
import signal
from collections.abc import Sequence

import grpc
import uvloop

from bench.strategies.base import SCHEMA, connect_postgres, connect_redis
from bench.strategies.catalog import SERVERS
from bench.strategies.servicer import Servicer, handlers
from inventory_service.rpc.grpc_threads import made_under_sched_batch
from inventory_service.rpc.server import OPTIONS
from inventory_service.settings import Settings

GRACE_S = 2.0
LISTENERS: int = Settings.model_fields["listeners"].default
GC_THRESHOLDS = (50_000, 20, 100)  # those of Holdfast's server


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
    with made_under_sched_batch():
        servers = [grpc.aio.server(options=OPTIONS) for _ in range(LISTENERS)]
        for server in servers:
            server.add_generic_rpc_handlers(calls)
            server.add_insecure_port(listen)
        for server in servers:
            await server.start()
    return servers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SERVERS)
    parser.add_argument("--listen", required=True, metavar="HOST:PORT")
    parser.add_argument("--postgres", required=True, metavar="DSN")
    parser.add_argument("--redis", required=True, metavar="URL")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.name, arguments.listen, arguments.postgres, arguments.redis))
