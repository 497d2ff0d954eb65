"""Loads a recording into empty servers, then migrates the tables: the data that new processes find in a deploy.

`python -m tests.upgrade.load FOLDER` stands in for `migrate` in a stack whose servers are new.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.servers import connected
from tests.upgrade.dump import load_ledger, load_redis


async def load(ledger: str, commands: str) -> None:
    """Fill the servers that the environment names."""
    async with connected(os.environ["HOLDFAST_POSTGRES_DSN"]) as db:
        await load_ledger(db, ledger)
    await load_redis(os.environ["HOLDFAST_REDIS_URL"], commands)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asyncio.run(load((folder / "ledger.sql").read_text(), (folder / "redis.txt").read_text()))
    os.execv(sys.executable, [sys.executable, "-m", "order_persister", "migrate"])
