"""How Kafka is reached: where its brokers are and what they want to see of us, in one value for every client."""

import ssl
from dataclasses import dataclass, field
from typing import Any

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT

from order_persister.settings import BadSettings, Settings


@dataclass(frozen=True)
class KafkaAccess:
    """`security` is one of Kafka's four protocols: those with SSL want `tls`, those with SASL want the rest."""

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
        """What any client of aiokafka is made with, its own choices aside."""
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

    def for_faust(self) -> dict[str, Any]:
        """The same in Faust's words."""
        return {
            "broker": [f"kafka://{broker}" for broker in self.brokers.split(",")],
            "broker_credentials": self._faust_credentials(),
        }

    def _faust_credentials(self) -> CredentialsT | None:
        if self.security.startswith("SASL_"):
            return SASLCredentials(
                username=self.username, password=self.password, mechanism=self.mechanism, ssl_context=self.tls
            )
        return SSLCredentials(self.tls) if self.tls is not None else None


def kafka_access(settings: Settings) -> KafkaAccess:
    """How the settings say that brokers are reached; BadSettings if a certificate cannot be used."""
    return KafkaAccess(
        brokers=settings.kafka_brokers,
        security=settings.kafka_security,
        tls=_tls(settings) if settings.kafka_security.endswith("SSL") else None,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password,
        prefix=settings.kafka_prefix,
    )


def _tls(settings: Settings) -> ssl.SSLContext:
    """What checks the brokers' certificates and their names, and shows ours if there is one."""
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
