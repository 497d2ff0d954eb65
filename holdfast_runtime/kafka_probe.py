"""Asks Kafka once whether it takes a connection of these settings."""

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

_QUESTION = "is HOLDFAST_KAFKA_SECURITY what it wants?"
_NO_TOPICS: list[str] = []
_SETTINGS = {
    Cause.TRUST: "HOLDFAST_KAFKA_CA_FILE",
    Cause.CERTIFICATE: "HOLDFAST_KAFKA_CERT_FILE",
    Cause.USER: "HOLDFAST_KAFKA_PASSWORD",
    Cause.PROTOCOL: "HOLDFAST_KAFKA_SECURITY",
    Cause.MECHANISM: "HOLDFAST_KAFKA_SASL_MECHANISM",
}


def kafka_dependency(settings: SharedSettings) -> Dependency:
    """Kafka as the settings say; BadSettings if a certificate cannot be used."""
    config = kafka_config(settings)
    server = f"Kafka at {config.brokers}"
    return Dependency("Kafka", server, lambda: probe_kafka(config), "HOLDFAST_KAFKA_BROKERS", _SETTINGS)


async def probe_kafka(config: KafkaConfig) -> None:
    """Return if one of the brokers answers; `ConnectionRejected` or `TransientError` if none does.

    aiokafka's own clients would only say that none took the connection, so each broker is asked by a bare one.
    """
    asking = [asyncio.ensure_future(_ask(host, port, config)) for host, port, _ in collect_hosts(config.brokers)]
    problems = []
    try:
        for answer in asyncio.as_completed(asking):
            try:
                return await answer
            except (ConnectionRejected, TransientError) as problem:
                problems.append(problem)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    raise next((problem for problem in problems if isinstance(problem, ConnectionRejected)), problems[0])


async def _ask(host: str, port: int, config: KafkaConfig) -> None:
    """A question after the greeting, for brokers that want a password greet every client."""
    connection: AIOKafkaConnection | None = None
    timeout_ms = int(1000 * PROBE_TIMEOUT_S)
    try:
        connection = await create_conn(host, port, request_timeout_ms=timeout_ms, **config.credentials())
        await connection.send(MetadataRequest(_NO_TOPICS))
    except SaslAuthenticationFailed as error:
        raise ConnectionRejected(Cause.USER, str(error.args[0]) if error.args else str(error)) from error
    except UnsupportedSaslMechanismError as error:
        raise ConnectionRejected(Cause.MECHANISM, f"it does not take {config.mechanism}") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise classify(error) or TransientError(describe(error, _QUESTION)) from error
    finally:
        if connection is not None:
            connection.close()
