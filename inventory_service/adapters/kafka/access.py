"""How Kafka is reached: where its brokers are and what they want to see of us, in one value for every client."""

import ssl
from dataclasses import dataclass, field
from typing import Any


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
