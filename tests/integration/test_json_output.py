"""`--json` of the commands that prepare and check the servers: one JSON object, and the same exit code."""

import asyncio
import json
import os
import sys
from inspect import signature
from typing import Any

import pytest
from holdfast.cli.processes import PROCESSES

from holdfast_runtime.process import load_commands
from inventory_service import __main__ as inventory
from order_persister import __main__ as persister
from tests.inventory_server import open_shards
from tests.servers import PARTITIONS
from tests.shared_kafka import Kafka

RUN_S = 60.0
# In the order in which an operator runs them.
COMMANDS = ("migrate", "topics", "init", "audit", "restore", "orphans", "doctor")


@pytest.fixture
def settings(valkey: str, empty_database: str, broker: str) -> dict[str, str]:
    """Servers that are not prepared."""
    return {
        "HOLDFAST_REDIS_URL": valkey,
        "HOLDFAST_POSTGRES_DSN": empty_database,
        "HOLDFAST_KAFKA_BROKERS": broker,
        "HOLDFAST_SHARDS": str(PARTITIONS),
    }


def test_every_command_with_json_output_is_tested() -> None:
    """A new command needs a place in COMMANDS, and an assertion in the test below."""
    services = (inventory, persister)
    every = [one for service in services for one in load_commands(service.WIRING, service.COMMANDS)]

    assert set(COMMANDS) == {one.name for one in every if "as_json" in signature(one.run).parameters}


@pytest.mark.timeout(180)
async def test_each_command_prints_one_json_object(settings: dict[str, str]) -> None:
    """Standard output is one object and nothing else; the log goes to standard error."""
    results = {command: await run_json(command, settings) for command in COMMANDS}
    again = {command: await run_json(command, settings) for command in ("migrate", "init")}

    assert results["migrate"][1]["ran"]
    assert results["init"][1]["opened"] == again["init"][1]["open_already"] == list(range(PARTITIONS))
    assert (results["init"][1]["open"], again["init"][1]["open"], again["init"][1]["opened"]) == (True, True, [])
    assert again["migrate"][1]["ran"] == []
    assert results["audit"][1]["consistent"]
    assert {shard["state"] for shard in results["restore"][1]["shards"]} == {"serves"}
    assert results["orphans"][1] == {"orphans": []}
    assert {results[command][0] for command in ("migrate", "init", "audit", "restore", "orphans")} == {0}


async def test_init_reports_why_it_opens_no_shard(valkey: str, database: str, kafka: Kafka) -> None:
    """Exit code 1, with the reason in the object as in the log."""
    settings = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_POSTGRES_DSN": database, **kafka.settings}
    await open_shards(valkey, PARTITIONS)

    code, results = await run_json("init", settings | {"HOLDFAST_SHARDS": str(PARTITIONS + 1)})

    assert (code, results["open"], results["opened"]) == (1, False, [])
    assert f"initialized for {PARTITIONS}" in results["objections"][0]


async def run_json(command: str, settings: dict[str, str]) -> tuple[int, Any]:
    """Run a command with --json: its exit code, and what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROCESSES[command].module, command, "--json"),
        env={**environment, **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), RUN_S)
    assert process.returncode is not None
    assert stdout, stderr.decode()
    return process.returncode, json.loads(stdout)
