"""Read the environment once into one frozen object, or say in one line which variable makes no sense and why."""

import os
import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "HOLDFAST_"

_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")  # of the 249 characters that a topic's name may have
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


class BadSettings(Exception):
    """The message is one line that names each bad variable and what is wrong with it."""


def _checked_address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match[1]) > 65535:
        raise ValueError("must be host:port with a port from 0 to 65535")
    return value


def _checked_brokers(value: str) -> str:
    for broker in value.split(","):
        _checked_address(broker)
    return value


def _checked_prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        raise ValueError("must be at most 100 of the characters that Kafka allows in names: A-Z a-z 0-9 . _ -")
    return value


def _checked_file(value: str) -> str:
    if not (os.path.isfile(value) and os.access(value, os.R_OK)):
        raise ValueError("must be the path of a file that this process can read")
    return value


def _checked_dsn(value: str) -> str:
    if not re.match(r"(postgresql|postgres)://", value):
        raise ValueError("must be a URL that starts with postgresql://")
    return value


Brokers = Annotated[str, AfterValidator(_checked_brokers)]
KafkaPrefix = Annotated[str, AfterValidator(_checked_prefix)]
Dsn = Annotated[str, AfterValidator(_checked_dsn)]
OptionalAddress = Annotated[str, AfterValidator(lambda value: value and _checked_address(value))]
OptionalFile = Annotated[str, AfterValidator(lambda value: value and _checked_file(value))]


class Settings(BaseSettings):
    """Everything that can be set for the persister; each field is one HOLDFAST_ variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    postgres_dsn: Dsn = Field("postgresql://127.0.0.1:5432/holdfast", description="the ledger, a URL")
    kafka_brokers: Brokers = Field("127.0.0.1:9092", description="brokers to ask first, host:port, comma-separated")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how brokers are spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="how a password is shown to brokers with SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str = Field("", description="whom brokers with SASL know us as")
    kafka_password: str = Field("", repr=False, description="the password of that user")
    kafka_ca_file: OptionalFile = Field(
        "", description="certificates by which a broker with SSL is believed, a PEM file; empty: those of the system"
    )
    kafka_cert_file: OptionalFile = Field("", description="our own certificate, for brokers that want one, a PEM file")
    kafka_key_file: OptionalFile = Field("", description="the key of it, a PEM file; empty: it is in the same file")
    kafka_prefix: KafkaPrefix = Field(
        "", description="put before the name of every topic and consumer group, for a Kafka that others use too"
    )
    shards: int = Field(16, ge=1, le=1024, description="parts of all sales; as `init` was run with")
    kafka_session_timeout_s: int = Field(
        10, ge=1, le=300, description="seconds after which Kafka gives a silent persister's partitions away"
    )
    metrics_listen: OptionalAddress = Field(
        "127.0.0.1:0", description="where /metrics is served, host:port; port 0: any, see the log; empty: nowhere"
    )
    start_wait_s: float = Field(
        2.5,
        ge=0,
        le=86_400,
        description="seconds to wait at the start for a server that is away, before giving up; 0: start without it",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged: debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="the form of the log: console, for a person, or json, for a machine"
    )


class Setting(NamedTuple):
    """One variable, for `--help`."""

    variable: str
    default: str
    meaning: str


def read_settings() -> Settings:
    """Read the environment; BadSettings if a variable makes no sense, by itself or beside another."""
    try:
        settings = Settings()
    except ValidationError as error:
        complaints = (f"{PREFIX}{str(e['loc'][0]).upper()}: {_reason(e['msg'])}" for e in error.errors())
        raise BadSettings("; ".join(complaints)) from None
    if contradictions := list(_contradictions(settings)):
        raise BadSettings("; ".join(contradictions))
    return settings


def list_settings() -> Iterator[Setting]:
    """Every variable with its default and its meaning, units included, in the order of the class."""
    for name, field in Settings.model_fields.items():
        yield Setting(PREFIX + name.upper(), str(field.default), field.description or "")


def _contradictions(settings: Settings) -> Iterator[str]:
    """What Kafka's security needs and was not given, or was given and would not be used: a slip either way."""
    security = settings.kafka_security
    users, files = ("kafka_username", "kafka_password"), ("kafka_ca_file", "kafka_cert_file", "kafka_key_file")
    with_user, with_tls = security.startswith("SASL_"), security.endswith("SSL")
    unused = (*(() if with_user else ("kafka_sasl_mechanism", *users)), *(() if with_tls else files))
    for name in users if with_user else ():
        if not getattr(settings, name):
            yield f"{PREFIX}{name.upper()}: is needed where HOLDFAST_KAFKA_SECURITY is {security}"
    for name in unused:
        if name in settings.model_fields_set and getattr(settings, name):
            yield f"{PREFIX}{name.upper()}: has no use where HOLDFAST_KAFKA_SECURITY is {security}"
    if settings.kafka_key_file and not settings.kafka_cert_file:
        yield "HOLDFAST_KAFKA_KEY_FILE: has no use without HOLDFAST_KAFKA_CERT_FILE"


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").replace("\n", " ")
