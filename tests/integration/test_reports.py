"""What the commands that prepare and check the servers print for a script: one JSON object, and the same exit code."""

import asyncio
import json
import os
import sys
from inspect import signature
from typing import Any

import pytest
from holdfast.cli.processes import PROCESSES

from inventory_service.__main__ import COMMANDS as INVENTORY
from order_persister.wiring import COMMANDS as PERSISTER
from tests.inventory_server import open_shards
from tests.servers import PARTITIONS
from tests.shared_kafka import Kafka

RUN_S = 60.0
# In the order in which an operator runs them.
COMMANDS = ("migrate", "topics", "init", "audit", "doctor")


@pytest.fixture
def settings(valkey: str, empty_database: str, broker: str) -> dict[str, str]:
    """Servers on which nothing has been done."""
    return {
        "HOLDFAST_REDIS_URL": valkey,
        "HOLDFAST_POSTGRES_DSN": empty_database,
        "HOLDFAST_KAFKA_BROKERS": broker,
        "HOLDFAST_SHARDS": str(PARTITIONS),
    }


def test_every_command_with_json_output_is_tried() -> None:
    """A command that is new has its place in the order, and its facts in the test below."""
    assert set(COMMANDS) == {one.name for one in (*INVENTORY, *PERSISTER) if "as_json" in signature(one.run).parameters}


@pytest.mark.timeout(180)
async def test_an_operator_prepares_servers_by_script(settings: dict[str, str]) -> None:
    """Each command's standard output is one object and nothing else; its log goes elsewhere."""
    told = {command: await facts(command, settings) for command in COMMANDS}
    again = {command: await facts(command, settings) for command in ("migrate", "init")}

    assert told["migrate"][1]["ran"]
    assert told["init"][1]["opened"] == again["init"][1]["open_already"] == list(range(PARTITIONS))
    assert (told["init"][1]["open"], again["init"][1]["open"], again["init"][1]["opened"]) == (True, True, [])
    assert again["migrate"][1]["ran"] == []
    assert told["audit"][1]["consistent"]
    assert [told[command][0] for command in ("migrate", "init", "audit")] == [0, 0, 0]


async def test_shards_that_must_not_be_opened_are_told(valkey: str, database: str, kafka: Kafka) -> None:
    """Exit code 1, with the reason among the facts, as a person reads it in the log."""
    settings = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_POSTGRES_DSN": database, **kafka.settings}
    await open_shards(valkey, PARTITIONS)

    code, told = await facts("init", settings | {"HOLDFAST_SHARDS": str(PARTITIONS + 1)})

    assert (code, told["open"], told["opened"]) == (1, False, [])
    assert f"initialized for {PARTITIONS}" in told["objections"][0]


async def facts(command: str, settings: dict[str, str]) -> tuple[int, Any]:
    """Run a command with --json: its exit code, and what it printed."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROCESSES[command].module, command, "--json"),
        env={**bare, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), RUN_S)
    assert process.returncode is not None
    assert said, complained.decode()
    return process.returncode, json.loads(said)
