"""Probes whether a Kafka broker accepts a connection with the settings given."""

import asyncio

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from holdfast_runtime.connection_errors import (
    PROBE_TIMEOUT_S,
    Cause,
    ConnectionRejected,
    TransientError,
    classify,
    describe,
)
from holdfast_runtime.kafka import KafkaConfig, kafka_config
from holdfast_runtime.settings import SharedSettings
from holdfast_runtime.start_check import Dependency

_QUESTION = "is HOLDFAST_KAFKA_SECURITY what it expects?"
_NO_TOPICS: list[str] = []
_SETTINGS = {
    Cause.TRUST: "HOLDFAST_KAFKA_CA_FILE",
    Cause.CERTIFICATE: "HOLDFAST_KAFKA_CERT_FILE",
    Cause.USER: "HOLDFAST_KAFKA_PASSWORD",
    Cause.PROTOCOL: "HOLDFAST_KAFKA_SECURITY",
    Cause.MECHANISM: "HOLDFAST_KAFKA_SASL_MECHANISM",
}


def kafka_dependency(settings: SharedSettings) -> Dependency:
    """Kafka as configured; `BadSettings` if a certificate cannot be used."""
    config = kafka_config(settings)
    server = f"Kafka at {config.brokers}"
    return Dependency("Kafka", server, lambda: probe_kafka(config), "HOLDFAST_KAFKA_BROKERS", _SETTINGS)


async def probe_kafka(config: KafkaConfig) -> None:
    """Return if one of the brokers answers; `ConnectionRejected` or `TransientError` if none does.

    aiokafka's clients only report that no broker accepted, so each broker is probed over a single connection.
    """
    probes = [
        asyncio.ensure_future(_probe_broker(host, port, config)) for host, port, _ in collect_hosts(config.brokers)
    ]
    problems = []
    try:
        for answer in asyncio.as_completed(probes):
            try:
                return await answer
            except (ConnectionRejected, TransientError) as problem:
                problems.append(problem)
    finally:
        for task in probes:
            task.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
    raise next((problem for problem in problems if isinstance(problem, ConnectionRejected)), problems[0])


async def _probe_broker(host: str, port: int, config: KafkaConfig) -> None:
    """Send a request after the handshake, which a broker that requires a password completes with any client."""
    connection: AIOKafkaConnection | None = None
    timeout_ms = int(1000 * PROBE_TIMEOUT_S)
    try:
        connection = await create_conn(host, port, request_timeout_ms=timeout_ms, **config.credentials())
        await connection.send(MetadataRequest(_NO_TOPICS))
    except SaslAuthenticationFailed as error:
        raise ConnectionRejected(Cause.USER, str(error.args[0]) if error.args else str(error)) from error
    except UnsupportedSaslMechanismError as error:
        raise ConnectionRejected(Cause.MECHANISM, f"it does not support {config.mechanism}") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise classify(error) or TransientError(describe(error, _QUESTION)) from error
    finally:
        if connection is not None:
            connection.close()
