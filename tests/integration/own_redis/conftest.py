"""A shard's processes on a Redis of the test's own, which it kills, restarts and puts on other files."""

from collections.abc import AsyncIterator

import pytest
from holdfast_embedded.valkey import Valkey

from tests.integration.shard_processes import ShardProcesses
from tests.servers import StartValkey
from tests.shared_kafka import Kafka


@pytest.fixture
def server(start_valkey: StartValkey) -> Valkey:
    """A Valkey to kill and restart, also on other files."""
    return start_valkey()


@pytest.fixture
async def processes(server: Valkey, database: str, kafka: Kafka) -> AsyncIterator[ShardProcesses]:
    processes = ShardProcesses(server.address, database, kafka)
    await processes.open()
    yield processes
    await processes.close()
