"""Turns the configuration of Kafka into the options of a Faust app."""

from typing import Any

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from holdfast_runtime.kafka import KafkaConfig


def faust_options(config: KafkaConfig) -> dict[str, Any]:
    """The options that have the brokers' addresses and credentials."""
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
