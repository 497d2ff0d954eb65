"""Turn settings into the ways in which the servers are reached, or say which setting makes no sense."""

import ssl

from inventory_service.adapters.kafka.access import KafkaAccess
from inventory_service.adapters.ledger.dsn import check_dsn
from inventory_service.adapters.redis.connections import check_url
from inventory_service.settings import BadSettings, Settings


def check_access(settings: Settings) -> None:
    """BadSettings if a server's own client cannot read how it is reached: otherwise it would be tried for ever."""
    for variable, check, url in (
        ("HOLDFAST_REDIS_URL", check_url, settings.redis_url),
        ("HOLDFAST_POSTGRES_DSN", check_dsn, settings.postgres_dsn),
    ):
        try:
            check(url)
        except ValueError as error:
            raise BadSettings(f"{variable}: {error}") from None
    kafka_access(settings)


def kafka_access(settings: Settings) -> KafkaAccess:
    """How Kafka's brokers are reached; BadSettings if a certificate cannot be used."""
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
