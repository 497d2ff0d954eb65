"""Redis takes every script as the loader makes it."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from inventory_service.adapters.redis.scripts import load_script

LUA = Path(__file__).resolve().parents[2] / "lua"
SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua"))


@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_script_compiles(name: str, valkey: str) -> None:
    """Otherwise an error in a script that runs rarely, such as a take-over's, would show only when it is needed."""
    script = load_script(name)

    async with Redis.from_url(valkey) as client:
        sha = await client.script_load(script.text)

    assert sha in (script.sha, script.sha.encode())
