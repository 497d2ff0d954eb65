"""What every Kafka client needs: connection settings, names of topics and groups, no auto-creation, a clean stop."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, RequestTimedOutError
from aiokafka.protocol.metadata import MetadataRequest

from holdfast_runtime.settings import BadSettings, SharedSettings

COMMITS = "holdfast.commits.v1"
PROGRESS = "holdfast.ledger-progress.v1"
COMPENSATIONS = "holdfast.compensations.v1"
ORDERS = "holdfast.orders.v1"
SALES = "holdfast.sales.v1"
PERSISTER_GROUP = "holdfast-persister"
COMPENSATOR_GROUP = "holdfast-compensator"
LARGEST_RECORD = 8 * 1024 * 1024  # a run is 256 KiB, but a single commit is never split
STOP_S = 5.0

_send = AIOKafkaClient.send


@dataclass(frozen=True)
class KafkaConfig:
    """The connection settings of every client of Kafka.

    `security` is one of Kafka's four protocols: those with SSL need `tls`, those with SASL the rest.
    """

    brokers: str
    security: str = "PLAINTEXT"
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    mechanism: str = "PLAIN"
    username: str = ""
    password: str = field(default="", repr=False)
    prefix: str = ""

    def named(self, name: str) -> str:
        """The name of a topic or a consumer group with the prefix of this installation."""
        return self.prefix + name

    def options(self) -> dict[str, Any]:
        """The arguments common to all clients of aiokafka."""
        return {"bootstrap_servers": self.brokers, **self.credentials()}

    def credentials(self) -> dict[str, Any]:
        """The same without the addresses, for a single connection."""
        return {
            "security_protocol": self.security,
            "ssl_context": self.tls,
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password,
        }


def kafka_config(settings: SharedSettings) -> KafkaConfig:
    """The connection settings; `BadSettings` if a certificate cannot be used."""
    return KafkaConfig(
        brokers=settings.kafka_brokers,
        security=settings.kafka_security,
        tls=_tls(settings) if settings.kafka_security.endswith("SSL") else None,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password,
        prefix=settings.kafka_prefix,
    )


def adapt_aiokafka() -> None:
    """Change two things that aiokafka has no setting for, in this process. A second call changes nothing.

    Its clients request metadata of topics by name, which lets Kafka create missing ones: a deleted topic would reappear
    with Kafka's default number of partitions before `holdfast topics` could create it.

    A request that times out closes its connection, which another task may have removed since it broke, for example when
    a process was halted while Kafka restarted. That KeyError ends the task that fetches, and the consumer would wait
    for records for ever without an error.
    """
    aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)
    AIOKafkaClient.send = _send_or_time_out


async def _send_or_time_out(client: AIOKafkaClient, *args: Any, **options: Any) -> Any:
    try:
        return await _send(client, *args, **options)
    except KeyError as error:  # the connection, by its node
        raise RequestTimedOutError from error


def raise_fetch_error(consumer: Any) -> None:
    """Raise the error that has ended a consumer's fetching, if any: it would wait for records for ever.

    aiokafka logs it, and raises it in no method of the consumer.
    """
    fetching = consumer._fetcher.error_future
    if fetching.done() and not fetching.cancelled():
        fetching.result()


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client within a few seconds, whether or not brokers answer.

    In a task of its own, because a consumer whose brokers do not answer raises a cancellation of its own, which would
    look like the caller's.
    """
    stopping = asyncio.create_task(client.stop())
    await asyncio.wait({stopping}, timeout=STOP_S)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        with suppress(KafkaError, OSError, TimeoutError):
            stopping.result()


def _tls(settings: SharedSettings) -> ssl.SSLContext:
    """A context that verifies the brokers' certificates and host names, and has the client certificate if any."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    except (ssl.SSLError, OSError) as error:
        raise BadSettings(f"HOLDFAST_KAFKA_CA_FILE: holds no certificate that can be read: {_why(error)}") from None
    if settings.kafka_cert_file:
        try:  # without a password OpenSSL prompts for that of an encrypted key on the terminal
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file or None, password="")
        except (ssl.SSLError, OSError) as error:
            problem = f"cannot be used, or its key is encrypted or does not match: {_why(error)}"
            raise BadSettings(f"HOLDFAST_KAFKA_CERT_FILE: {problem}") from None
    return context


def _why(error: OSError) -> str:
    return str(getattr(error, "reason", "") or error.strerror or error)
