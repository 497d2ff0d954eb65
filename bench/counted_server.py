"""A server of Reserve with gRPC and all of Holdfast's own code, but no Redis: the script's replies are made here.

It is for counting instructions: nothing runs in it but the calls, and each script call has 32 of them.
"""

import asyncio
import gc
import sys
from collections.abc import Sequence

import uvloop

from bench.arguments import parser_of
from bench.own_cost import SERVICE, handlers_of
from inventory_service.rpc.accepting import AcceptingServer
from inventory_service.rpc.grpc_threads import made_under_sched_batch
from inventory_service.rpc.server import OPTIONS
from inventory_service.wiring.serve import GC_THRESHOLDS

LISTENERS = 8  # as `serve` has by default


async def serve(listen: str, *, tokens: bool, interval_s: float) -> None:
    """Print the address when it listens, and serve until ended."""
    _servers, address = await started(listen, tokens=tokens, interval_s=interval_s)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    print(address, flush=True)
    await asyncio.Event().wait()


async def started(listen: str, *, tokens: bool, interval_s: float) -> tuple[Sequence[AcceptingServer], str]:
    """Server objects that serve on one address, and the address."""
    host, _, port = listen.rpartition(":")
    handlers = handlers_of(tokens=tokens, interval_s=interval_s)
    methods = {f"/{SERVICE}/{name}": handler for name, handler in handlers.items()}
    with made_under_sched_batch():
        servers = [AcceptingServer(methods, OPTIONS) for _ in range(LISTENERS)]
        for server in servers:
            port = str(server.bind(f"{host}:{port}"))
            await server.start()
    return servers, f"{host}:{port}"


def main() -> int:
    """Serve until ended."""
    parser = parser_of(__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port (%(default)s)")
    parser.add_argument("--tokens", action="store_true", help="take calls with a token only, and check it")
    parser.add_argument(
        "--interval",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between two script calls, unless enough requests wait (%(default)s)",
    )
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.listen, tokens=arguments.tokens, interval_s=arguments.interval))
    return 0


if __name__ == "__main__":
    sys.exit(main())
