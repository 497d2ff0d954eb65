"""Runs the worker of a strategy: `python -m bench.strategies.worker NAME --postgres DSN --redis URL`."""

import argparse
import asyncio

import uvloop

from bench.strategies.base import connect_postgres, connect_redis
from bench.strategies.catalog import WORKERS


async def work(name: str, postgres_dsn: str, redis_url: str) -> None:
    """Work until the process is ended; a second delivery is harmless, so nothing has to be finished."""
    database = await connect_postgres(postgres_dsn)
    await WORKERS[name](database, connect_redis(redis_url)).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=WORKERS)
    parser.add_argument("--postgres", required=True, metavar="DSN")
    parser.add_argument("--redis", required=True, metavar="URL")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(arguments.name, arguments.postgres, arguments.redis))
