"""Fills empty servers with what was recorded, then brings the tables up to date: what new processes find in a deploy.

`python -m tests.upgrade.put_back FOLDER` stands in for `migrate` in a stack whose servers are new.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.servers import connected
from tests.upgrade.recording import put_back_ledger, put_back_redis


async def put_back(ledger: str, commands: str) -> None:
    """Fill the servers that the environment names."""
    async with connected(os.environ["HOLDFAST_POSTGRES_DSN"]) as db:
        await put_back_ledger(db, ledger)
    await put_back_redis(os.environ["HOLDFAST_REDIS_URL"], commands)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asyncio.run(put_back((folder / "ledger.sql").read_text(), (folder / "redis.txt").read_text()))
    os.execv(sys.executable, [sys.executable, "-m", "order_persister", "migrate"])
