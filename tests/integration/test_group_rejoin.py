"""A broker answers a persister that wants to join its group with an unexpected error."""

import ctypes

import pytest
from holdfast_embedded.broker import TOPICS
from holdfast_embedded.mock_cluster import MockCluster

from bench.commits import HELD
from tests.integration.persister_fixture import JOIN_S, SHARDS, PersisterFixture
from tests.persister_process import StartPersister
from tests.shared_kafka import Kafka
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)
SYNC_GROUP, INVALID_REQUEST = 14, 42  # in Kafka's protocol


@pytest.fixture
def cluster() -> MockCluster:
    """A broker in this process whose responses a test can set."""
    return MockCluster(TOPICS, SHARDS)


@pytest.fixture
def kafka(cluster: MockCluster) -> Kafka:
    """The fixture's broker."""
    return Kafka(cluster.address)


async def test_a_persister_joins_again_after_the_group_rejected_it(
    cluster: MockCluster, fixture: PersisterFixture, start_persister: StartPersister
) -> None:
    """Faust does not see such an error, and the process would run on for ever without reading its partitions."""
    will_answer(cluster, SYNC_GROUP, INVALID_REQUEST, times=2)
    persister = start_persister(fixture.kafka, fixture.dsn)
    fixture.shard.moves(("r-1", HELD))

    await fixture.send()

    await eventually(fixture.is_published, JOIN_S)
    assert persister.has_logged("server_unavailable", server="Kafka")
    assert persister.process.poll() is None


def will_answer(cluster: MockCluster, request: int, error: int, times: int) -> None:
    """Have the next requests of a kind answered with an error."""
    errors = (ctypes.c_int * times)(*[error] * times)
    push = cluster._library.rd_kafka_mock_push_request_errors_array
    push(cluster._cluster, ctypes.c_int16(request), ctypes.c_size_t(times), errors)
