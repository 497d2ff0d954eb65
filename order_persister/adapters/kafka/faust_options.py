"""How Kafka is reached, in Faust's words."""

from typing import Any

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from holdfast_runtime.kafka import KafkaConfig


def faust_options(config: KafkaConfig) -> dict[str, Any]:
    """The arguments of an app that say where its brokers are and what they want to see."""
    return {
        "broker": [f"kafka://{broker}" for broker in config.brokers.split(",")],
        "broker_credentials": _credentials(config),
    }


def _credentials(config: KafkaConfig) -> CredentialsT | None:
    if config.security.startswith("SASL_"):
        return SASLCredentials(
            username=config.username, password=config.password, mechanism=config.mechanism, ssl_context=config.tls
        )
    return SSLCredentials(config.tls) if config.tls is not None else None
