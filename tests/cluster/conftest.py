"""A whole stack on a cluster of three Apache Kafkas, of which one at a time may be lost."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from holdfast.client import Client
from holdfast_embedded.stack import Stack

from tests.crowd import CRASH_RETRY
from tests.fault_stack import SHARDS, FaultStack
from tests.real.kafka_cluster import NODES, KafkaCluster
from tests.stacks import running_stack

TOPICS_S, TIMES = 120.0, 5
# By default Kafka checks retention every five minutes, and for the first time after half a minute.
QUICK_RETENTION = {"log.retention.check.interval.ms": "500", "log.initial.task.delay.ms": "500"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers, otherwise as Kafka's own defaults have them, with Holdfast's topics on all three."""
    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"), settings=QUICK_RETENTION)
    try:
        cluster.start()
        make_topics(cluster)
        yield cluster
    finally:
        cluster.end()


@pytest.fixture(scope="module")
def running(cluster: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Every process of Holdfast on that cluster, for the tests of a file, which leave all of them running."""
    with running_stack(
        tmp_path_factory.mktemp("stack"),
        HOLDFAST_SHARDS=str(SHARDS),
        HOLDFAST_KAFKA_BROKERS=cluster.address,
        HOLDFAST_KAFKA_SESSION_TIMEOUT_S="3",
    ) as stack:
        yield stack


@pytest.fixture
async def stack(running: Stack) -> AsyncIterator[FaultStack]:
    """The stack, and a client of this test that retries through a crash."""
    async with Client(running.addresses.listen, channels=4, retry=CRASH_RETRY) as client:
        yield FaultStack(running, client)


def make_topics(cluster: KafkaCluster) -> None:
    """Run `holdfast topics` for three brokers; it is repeated while one of them is too busy."""
    command = [sys.executable, "-m", "inventory_service", "topics", "--replication", str(NODES)]
    settings = {
        **os.environ,
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_KAFKA_BROKERS": cluster.address,
    }
    for _ in range(TIMES):
        ended = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=TOPICS_S, check=False)
        if ended.returncode == 0:
            break
    assert ended.returncode == 0, ended.stdout + ended.stderr


async def make_topics_again(cluster: KafkaCluster) -> None:
    """The same, from a test."""
    await asyncio.to_thread(make_topics, cluster)
