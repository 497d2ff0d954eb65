"""How long the persister's fetches wait, and that aiokafka heeds it."""

from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import TopicPartition
from faust.types import TP

from order_persister.adapters.kafka.fetch_wait import BUSY_MS, IDLE_AFTER, IDLE_MS, FetchWait

PARTITION = TP("commits", 0)


def test_fetches_wait_briefly_while_records_come() -> None:
    wait = FetchWait()

    assert {wait.next_ms({PARTITION: offset}) for offset in range(3 * IDLE_AFTER)} == {BUSY_MS}


def test_fetches_wait_longer_once_none_has_come_for_a_while_and_briefly_again_after_one() -> None:
    wait = FetchWait()
    waits = [wait.next_ms({PARTITION: 7}) for _ in range(IDLE_AFTER + 2)]

    assert waits == [BUSY_MS] * IDLE_AFTER + [IDLE_MS] * 2
    assert wait.next_ms({PARTITION: 8}) == BUSY_MS


async def test_aiokafka_asks_brokers_to_wait_so_long() -> None:
    """It keeps the wait in an attribute that is not public; a request has it as its first value."""
    subscriptions = SubscriptionState()
    topic_partition = TopicPartition("commits", 0)
    subscriptions.assign_from_user([topic_partition])
    assignment = subscriptions.subscription.assignment
    assignment.state_value(topic_partition).reset_to(0)
    fetcher: Any = Fetcher(leader_of_everything(), subscriptions)
    fetcher._fetch_max_wait_ms = BUSY_MS
    requests = fetcher._get_actions_per_node(assignment)[0]
    await fetcher.close()

    assert [request._max_wait_ms for _, request in requests] == [BUSY_MS]


def leader_of_everything() -> Any:
    """A client whose one broker leads each partition."""
    cluster = SimpleNamespace(leader_for_partition=lambda partition: 1)
    return SimpleNamespace(cluster=cluster, _loop=None, _metadata_max_age_ms=0)
