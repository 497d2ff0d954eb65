"""How Kafka is reached and what is on it: the connection's settings, the names of topics and groups, a client's end."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from holdfast_runtime.settings import BadSettings, SharedSettings

COMMITS = "holdfast.commits.v1"
PROGRESS = "holdfast.ledger-progress.v1"
COMPENSATIONS = "holdfast.compensations.v1"
ORDERS = "holdfast.orders.v1"
PERSISTER_GROUP = "holdfast-persister"
COMPENSATOR_GROUP = "holdfast-compensator"
LARGEST_RECORD = 8 * 1024 * 1024  # a run is 256 KiB, but a single commit is never cut
STOP_S = 5.0


@dataclass(frozen=True)
class KafkaConfig:
    """What every client of Kafka is made with, its own choices aside.

    `security` is one of Kafka's four protocols: those with SSL want `tls`, those with SASL want the rest.
    """

    brokers: str
    security: str = "PLAINTEXT"
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    mechanism: str = "PLAIN"
    username: str = ""
    password: str = field(default="", repr=False)
    prefix: str = ""

    def named(self, name: str) -> str:
        """What a topic or a consumer group is called on this Kafka, which other systems may share."""
        return self.prefix + name

    def options(self) -> dict[str, Any]:
        """The arguments of any client of aiokafka."""
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
    """How the settings say that brokers are reached; BadSettings if a certificate cannot be used."""
    return KafkaConfig(
        brokers=settings.kafka_brokers,
        security=settings.kafka_security,
        tls=_tls(settings) if settings.kafka_security.endswith("SSL") else None,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password,
        prefix=settings.kafka_prefix,
    )


def disable_topic_auto_creation() -> None:
    """Keep every client of this process from having Kafka make a topic that is not there; again does no harm.

    aiokafka asks for topics by name whenever it looks around, lets Kafka make what is missing, and has no setting for
    it. A topic that was deleted would be back at once with Kafka's own number of partitions, before an operator could
    make it properly.
    """
    aiokafka.client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """A few seconds are enough for a live broker, and a dead one is not waited for.

    In a task of its own, for a consumer whose brokers are away ends with the cancellation of a part of itself, which
    would pass for the caller's.
    """
    stopping = asyncio.create_task(client.stop())
    await asyncio.wait({stopping}, timeout=STOP_S)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        with suppress(KafkaError, OSError, TimeoutError):
            stopping.result()


def _tls(settings: SharedSettings) -> ssl.SSLContext:
    """What checks the brokers' certificates and their names, and shows the client's own if there is one."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    except (ssl.SSLError, OSError) as error:
        raise BadSettings(f"HOLDFAST_KAFKA_CA_FILE: holds no certificate that can be read: {_why(error)}") from None
    if settings.kafka_cert_file:
        try:  # an empty password, for without one OpenSSL would ask the terminal for that of a locked key
            context.load_cert_chain(settings.kafka_cert_file, settings.kafka_key_file or None, password="")
        except (ssl.SSLError, OSError) as error:
            problem = f"cannot be used, or its key does not open or fit: {_why(error)}"
            raise BadSettings(f"HOLDFAST_KAFKA_CERT_FILE: {problem}") from None
    return context


def _why(error: OSError) -> str:
    return str(getattr(error, "reason", "") or error.strerror or error)
