"""Reads from every broker the settings on which the guarantees rest, because brokers may differ.

A topic's defaults come from the configuration of the broker that leads the partition.
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

REQUEST_TIMEOUT_MS = 2000  # of each broker that hangs: two may be asked before one answers, and one more in parallel
TIMEOUT_S = 7.0

# For each release of Apache Kafka an API that is new in it: its number, and the lowest values of its minimum and
# maximum version. Brokers do not report their release.
_RELEASES = {
    (4, 0): (1, 4, 17),  # Fetch, whose oldest versions 4.0 dropped
    (3, 0): (65, 0, 0),  # DescribeTransactions
    (2, 8): (60, 0, 0),  # DescribeCluster
    (1, 1): (32, 0, 1),  # DescribeConfigs with the source of each value
}
_DESCRIBE_CONFIGS = 32


class _BrokerConfig(NamedTuple):
    """The answers of one broker."""

    node: int
    apis: Mapping[int, tuple[int, int]]  # API: its minimum and maximum version
    settings: Mapping[str, str]
    topics: Mapping[str, Mapping[str, str]]
    denied: Mapping[str, str]  # topic, or '' for the broker itself: why its settings were not returned


class KafkaServerConfig:
    """Reads the settings of one cluster."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config

    async def ask(self, topics: Sequence[str]) -> KafkaClusterConfig:
        """The settings of the cluster and of these topics; `KafkaUnavailable` if no broker answers."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._client() as client:
                layout = await _layout(client)
                present = {name: topic for name, topic in layout["topics"].items() if name in (*topics, OFFSETS)}
                required = [name for name in present if name in topics]
                requests = [_read_broker(client, node, required) for node in layout["brokers"]]
                return _cluster_config(layout["brokers"], present, await asyncio.gather(*requests))
        except (KafkaError, OSError, TimeoutError) as error:
            raise KafkaUnavailable(str(error) or "no answer in time") from error

    async def brokers(self) -> int:
        """The number of brokers; `KafkaUnavailable` if none answers."""
        return len((await self.ask(())).brokers)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AIOKafkaClient]:
        client = AIOKafkaClient(**self._config.options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            await client.bootstrap()
            yield client
        finally:
            await client.close()


async def _layout(client: AIOKafkaClient) -> dict[str, Any]:
    """The node ids of the brokers, and the partitions of every topic by its name; the request creates no topic."""
    metadata = (await client.send(client.get_random_node(), MetadataRequest(None, False))).to_object()
    brokers = sorted(broker["node_id"] for broker in metadata["brokers"])
    return {"brokers": brokers, "topics": {topic["topic"]: topic["partitions"] for topic in metadata["topics"]}}


async def _read_broker(client: AIOKafkaClient, node: int, topics: Iterable[str]) -> _BrokerConfig | Exception:
    """The answers of one broker, or the error."""
    try:
        versions = (await client.send(node, ApiVersionRequest())).api_versions
        apis = {api: (minimum, maximum) for api, minimum, maximum, *_ in versions}
        if _DESCRIBE_CONFIGS not in apis:
            reason = "it is no Apache Kafka, or one without DescribeConfigs"
            return _BrokerConfig(node, apis, {}, {}, dict.fromkeys(("", *topics), reason))
        resources = [
            (int(ConfigResourceType.BROKER), str(node), list(BROKER_SETTINGS)),
            *((int(ConfigResourceType.TOPIC), topic, list(TOPIC_SETTINGS)) for topic in topics),
        ]
        answer = await client.send(node, DescribeConfigsRequest(resources))
    except (KafkaError, OSError, IncompatibleBrokerVersion) as error:
        return error
    return _broker_config(node, apis, answer.resources)


def _broker_config(node: int, apis: Mapping[int, tuple[int, int]], resources: Iterable[Sequence[Any]]) -> _BrokerConfig:
    settings: dict[str, str] = {}
    topics: dict[str, dict[str, str]] = {}
    denied: dict[str, str] = {}
    for code, _message, kind, name, entries in resources:
        is_topic = kind == ConfigResourceType.TOPIC
        if code:
            denied[name if is_topic else ""] = for_code(code).__name__
        values = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        if is_topic:
            topics[name] = values
        else:
            settings = values
    return _BrokerConfig(node, apis, settings, topics, denied)


def _cluster_config(
    brokers: Sequence[int], layout: Mapping[str, Any], answers: Sequence[_BrokerConfig | Exception]
) -> KafkaClusterConfig:
    configs = [answer for answer in answers if isinstance(answer, _BrokerConfig)]
    unreachable = {
        node: "no connection" if isinstance(answer, NodeNotReadyError) else str(answer) or type(answer).__name__
        for node, answer in zip(brokers, answers, strict=True)
        if isinstance(answer, Exception)
    }
    if not configs:
        raise KafkaUnavailable("; ".join(f"broker {node}: {why}" for node, why in unreachable.items()))
    settings = {name: _values(name, {config.node: config.settings for config in configs}) for name in BROKER_SETTINGS}
    denied = (
        "" if any(settings.values()) else next((config.denied[""] for config in configs if "" in config.denied), "")
    )
    return KafkaClusterConfig(
        brokers=brokers,
        min_release=_oldest_release(configs),
        topics={name: _topic(name, partitions, configs) for name, partitions in layout.items()},
        settings=settings,
        denied=denied,
        unreachable=unreachable,
    )


def _topic(name: str, partitions: Sequence[Mapping[str, Any]], configs: Sequence[_BrokerConfig]) -> TopicConfig:
    settings = {
        setting: _values(setting, {config.node: config.topics.get(name, {}) for config in configs})
        for setting in TOPIC_SETTINGS
    }
    return TopicConfig(
        partitions=len(partitions),
        replication=min((len(partition["replicas"]) for partition in partitions), default=0),
        in_sync=min((_in_sync(partition) for partition in partitions), default=0),
        nodes=frozenset(node for partition in partitions for node in partition["replicas"]),
        settings=settings,
        denied=next((config.denied[name] for config in configs if name in config.denied), ""),
    )


def _in_sync(partition: Mapping[str, Any]) -> int:
    return len(partition["isr"]) if partition["leader"] >= 0 else 0


def _values(setting: str, by_node: Mapping[int, Mapping[str, str]]) -> Values:
    return {node: settings[setting] for node, settings in by_node.items() if setting in settings}


def _oldest_release(configs: Sequence[_BrokerConfig]) -> tuple[int, int] | None:
    """The release that the oldest broker has at least; None if one has no API of `_RELEASES`."""
    return min((_release(config.apis) for config in configs), key=lambda release: release or (0, 0))


def _release(apis: Mapping[int, tuple[int, int]]) -> tuple[int, int] | None:
    for release, (api, minimum, maximum) in _RELEASES.items():
        if api in apis and apis[api][0] >= minimum and apis[api][1] >= maximum:
            return release
    return None
