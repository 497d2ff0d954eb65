"""Asks every broker for the settings on which the promises rest: what one of them says, another need not.

A broker's own file sets the defaults of every topic, and it is the leader's that holds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, NodeNotReadyError, for_code
from aiokafka.protocol.admin import ApiVersionRequest, DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from holdfast_runtime.kafka import KafkaConfig
from inventory_service.domain.shards import KafkaUnavailable
from inventory_service.server_checks.kafka import BROKER_SETTINGS, OFFSETS, KafkaClusterConfig
from inventory_service.server_checks.topics import TOPIC_SETTINGS, TopicConfig, Values

REQUEST_MS = 2000  # for each broker that hangs, of which there may be two before one answers, and one more beside it
ASK_S = 7.0

# What a release of Apache Kafka speaks and none before it did: an API by its number, with the least and the most of
# its versions at the least. Brokers do not name their release to a client.
_RELEASES = {
    (4, 0): (1, 4, 17),  # Fetch, of which 4.0 dropped the oldest versions
    (3, 0): (65, 0, 0),  # DescribeTransactions
    (2, 8): (60, 0, 0),  # DescribeCluster
    (1, 1): (32, 0, 1),  # DescribeConfigs with the source of each value
}
_DESCRIBE_CONFIGS = 32


class _Heard(NamedTuple):
    """What one broker said."""

    node: int
    apis: Mapping[int, tuple[int, int]]  # API: the least and the most of its versions
    settings: Mapping[str, str]
    topics: Mapping[str, Mapping[str, str]]
    denied: Mapping[str, str]  # of a topic, or of the broker itself as '': why it does not tell


class KafkaServerConfig:
    """Asks one cluster."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config

    async def ask(self, topics: Sequence[str]) -> KafkaClusterConfig:
        """What its brokers say of it and of these topics; KafkaUnavailable if none answers."""
        try:
            async with asyncio.timeout(ASK_S), self._client() as client:
                layout = await _layout(client)
                present = {name: topic for name, topic in layout["topics"].items() if name in (*topics, OFFSETS)}
                ours = [name for name in present if name in topics]
                asked = [_ask_broker(client, node, ours) for node in layout["brokers"]]
                return _facts(layout["brokers"], present, await asyncio.gather(*asked))
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaUnavailable(str(error) or "no answer in time") from error

    async def brokers(self) -> int:
        """How many there are; KafkaUnavailable if none answers."""
        return len((await self.ask(())).brokers)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AIOKafkaClient]:
        client = AIOKafkaClient(**self._config.options(), request_timeout_ms=REQUEST_MS)
        try:
            await client.bootstrap()
            yield client
        finally:
            await client.close()


async def _layout(client: AIOKafkaClient) -> dict[str, Any]:
    """Brokers by node id, and every topic by name with its partitions; asking makes no topic."""
    said = (await client.send(client.get_random_node(), MetadataRequest(None, False))).to_object()
    brokers = sorted(broker["node_id"] for broker in said["brokers"])
    return {"brokers": brokers, "topics": {topic["topic"]: topic["partitions"] for topic in said["topics"]}}


async def _ask_broker(client: AIOKafkaClient, node: int, topics: Iterable[str]) -> _Heard | Exception:
    """What one broker says, or what came in the way."""
    try:
        versions = (await client.send(node, ApiVersionRequest())).api_versions
        apis = {api: (least, most) for api, least, most, *_ in versions}
        if _DESCRIBE_CONFIGS not in apis:
            untold = "it is no Apache Kafka, or one too old to be asked"
            return _Heard(node, apis, {}, {}, dict.fromkeys(("", *topics), untold))
        resources = [
            (int(ConfigResourceType.BROKER), str(node), list(BROKER_SETTINGS)),
            *((int(ConfigResourceType.TOPIC), topic, list(TOPIC_SETTINGS)) for topic in topics),
        ]
        answer = await client.send(node, DescribeConfigsRequest(resources))
    except (KafkaError, OSError, IncompatibleBrokerVersion) as error:
        return error
    return _heard(node, apis, answer.resources)


def _heard(node: int, apis: Mapping[int, tuple[int, int]], resources: Iterable[Sequence[Any]]) -> _Heard:
    settings: dict[str, str] = {}
    topics: dict[str, dict[str, str]] = {}
    denied: dict[str, str] = {}
    for code, _message, kind, name, entries in resources:
        is_topic = kind == ConfigResourceType.TOPIC
        if code:
            denied[name if is_topic else ""] = for_code(code).__name__
        told = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        if is_topic:
            topics[name] = told
        else:
            settings = told
    return _Heard(node, apis, settings, topics, denied)


def _facts(
    brokers: Sequence[int], layout: Mapping[str, Any], asked: Sequence[_Heard | Exception]
) -> KafkaClusterConfig:
    heard = [answer for answer in asked if isinstance(answer, _Heard)]
    unreachable = {
        node: "no connection" if isinstance(answer, NodeNotReadyError) else str(answer) or type(answer).__name__
        for node, answer in zip(brokers, asked, strict=True)
        if isinstance(answer, Exception)
    }
    if not heard:
        raise KafkaUnavailable("; ".join(f"broker {node}: {why}" for node, why in unreachable.items()))
    settings = {name: _values(name, {h.node: h.settings for h in heard}) for name in BROKER_SETTINGS}
    denied = "" if any(settings.values()) else next((h.denied[""] for h in heard if "" in h.denied), "")
    return KafkaClusterConfig(
        brokers=brokers,
        min_release=_oldest_release(heard),
        topics={name: _topic(name, partitions, heard) for name, partitions in layout.items()},
        settings=settings,
        denied=denied,
        unreachable=unreachable,
    )


def _topic(name: str, partitions: Sequence[Mapping[str, Any]], heard: Sequence[_Heard]) -> TopicConfig:
    settings = {
        setting: _values(setting, {h.node: h.topics.get(name, {}) for h in heard}) for setting in TOPIC_SETTINGS
    }
    return TopicConfig(
        partitions=len(partitions),
        replication=min((len(partition["replicas"]) for partition in partitions), default=0),
        in_sync=min((_in_sync(partition) for partition in partitions), default=0),
        nodes=frozenset(node for partition in partitions for node in partition["replicas"]),
        settings=settings,
        denied=next((h.denied[name] for h in heard if name in h.denied), ""),
    )


def _in_sync(partition: Mapping[str, Any]) -> int:
    return len(partition["isr"]) if partition["leader"] >= 0 else 0


def _values(setting: str, told: Mapping[int, Mapping[str, str]]) -> Values:
    return {node: settings[setting] for node, settings in told.items() if setting in settings}


def _oldest_release(heard: Sequence[_Heard]) -> tuple[int, int] | None:
    """What the oldest of them is at the least; None where one speaks like none of them."""
    return min((_release(h.apis) for h in heard), key=lambda release: release or (0, 0))


def _release(apis: Mapping[int, tuple[int, int]]) -> tuple[int, int] | None:
    for release, (api, least, most) in _RELEASES.items():
        if api in apis and apis[api][0] >= least and apis[api][1] >= most:
            return release
    return None
