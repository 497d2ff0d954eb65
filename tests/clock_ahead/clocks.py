"""Shows the clocks of Python, Valkey and PostgreSQL, and fails unless each is at a moment, or within an hour after it.

`python -m tests.clock_ahead.clocks MOMENT`, in seconds since 1970.
"""

import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from redis.asyncio import Redis

from tests.servers import connected, new_postgres, new_valkey

HOUR_S = 60 * 60


def main(moment: int) -> int:
    """Compare the clock of each with the moment; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        times = {"Python": time.time(), **asyncio.run(times_of_servers(Path(folder)))}
    for name, now in times.items():
        print(f"{name}'s clock is at {datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}")
    return 0 if all(moment <= now <= moment + HOUR_S for now in times.values()) else 1


async def times_of_servers(folder: Path) -> dict[str, float]:
    """Read the time of each server's own clock."""
    valkey, postgres = new_valkey(folder / "valkey"), new_postgres(folder / "postgres")
    try:
        valkey.start()
        postgres.start()
        async with Redis.from_url(valkey.address) as redis, connected(postgres.address) as db:
            seconds, _ = await redis.time()
            now: datetime = await db.fetchval("select clock_timestamp()")
            return {"Valkey": float(seconds), "PostgreSQL": now.timestamp()}
    finally:
        postgres.kill()
        valkey.kill()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
