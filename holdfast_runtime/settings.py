"""Reads the environment once into one frozen object; one line names each invalid variable and what is wrong."""

import os
import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "HOLDFAST_"

_KAFKA_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")  # of the 249 characters that a topic's name may have
_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


class BadSettings(Exception):
    """The message is one line that names each invalid variable and what is wrong with it."""


def _checked_address(value: str) -> str:
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match[1]) > 65535:
        raise ValueError("must be host:port with a port from 0 to 65535")
    return value


def _checked_brokers(value: str) -> str:
    for broker in value.split(","):
        _checked_address(broker)
    return value


def _checked_kafka_prefix(value: str) -> str:
    if not _KAFKA_PREFIX.fullmatch(value):
        raise ValueError("must be at most 100 characters that Kafka allows in names: A-Z a-z 0-9 . _ -")
    return value


def _checked_redis_url(value: str) -> str:
    if not re.fullmatch(r"(rediss?(\+sentinel)?|unix)://\S+", value):
        raise ValueError("must be a URL that starts with redis://, rediss:// or unix://, or redis+sentinel://")
    return _checked_user(value)


def _checked_file(value: str) -> str:
    if not (os.path.isfile(value) and os.access(value, os.R_OK)):
        raise ValueError("must be the path of a file that this process can read")
    return value


def _checked_dsn(value: str) -> str:
    if not re.match(r"(postgresql|postgres)://", value):
        raise ValueError("must be a URL that starts with postgresql://")
    return _checked_user(value)


def _checked_user(url: str) -> str:
    """The URL, unless a part of the password stands where addresses are: that would be shown, and connected to.

    The address ends at the first `/`, `?` or `#`, though a password may have one.
    """
    parts = re.fullmatch(r"[\w+]+://([^/?#]*)([^?#]*)(\??[^#]*)(#?.*)", url, re.DOTALL)
    assert parts is not None, "the beginning was checked"
    authority, path, query, fragment = parts.groups()
    is_cut = "@" in path or ("@" in query and not re.match(r"\?\w+=", query))
    if fragment or (authority and "@" not in authority and is_cut):
        raise ValueError("must write / ? # and @ in the user or the password as %2F %3F %23 and %40")
    return url


Address = Annotated[str, AfterValidator(_checked_address)]
OptionalAddress = Annotated[str, AfterValidator(lambda value: value and _checked_address(value))]
Brokers = Annotated[str, AfterValidator(_checked_brokers)]
KafkaPrefix = Annotated[str, AfterValidator(_checked_kafka_prefix)]
RedisUrl = Annotated[str, AfterValidator(_checked_redis_url)]
Dsn = Annotated[str, AfterValidator(_checked_dsn)]
OptionalFile = Annotated[str, AfterValidator(lambda value: value and _checked_file(value))]


class SharedSettings(BaseSettings):
    """The settings of the processes of both services; each field is one HOLDFAST_ variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    postgres_dsn: Dsn = Field(
        "postgresql://127.0.0.1:5432/holdfast", repr=False, description="the ledger's PostgreSQL, a URL"
    )
    kafka_brokers: Brokers = Field("127.0.0.1:9092", description="bootstrap brokers, host:port, comma-separated")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="the brokers' security protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="the SASL mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str = Field("", description="the user for brokers with SASL")
    kafka_password: str = Field("", repr=False, description="the password of that user")
    kafka_ca_file: OptionalFile = Field(
        "",
        description="trusted certificate authorities for brokers with SSL, a PEM file; empty: the system's",
    )
    kafka_cert_file: OptionalFile = Field(
        "", description="the client certificate, for brokers that require one, a PEM file"
    )
    kafka_key_file: OptionalFile = Field(
        "", description="the key of the client certificate, a PEM file; empty: in the same file"
    )
    kafka_prefix: KafkaPrefix = Field(
        "", description="the prefix of every topic and consumer group, for a Kafka that several installations share"
    )
    kafka_session_timeout_s: int = Field(
        10, ge=1, le=300, description="seconds without a heartbeat after which Kafka reassigns a consumer's partitions"
    )
    shards: int = Field(
        16, ge=1, le=1024, description="the number of shards; the same for every process and for `init`"
    )
    metrics_listen: OptionalAddress = Field(
        "127.0.0.1:0",
        description="address of /metrics and /healthz, host:port; port 0: a free one, see the log; empty: none",
    )
    start_wait_s: float = Field(
        2.5,
        ge=0,
        le=86_400,
        description="seconds to wait at the start for an unavailable server before the process ends; 0: do not wait",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the minimum level that is logged: debug, info, warning or error"
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="the format of the log: console (text) or json"
    )

    def contradictions(self) -> Iterator[str]:
        """A line for each setting that another one requires and that is not set, or that is set and would be unused."""
        yield from _kafka_contradictions(self)


LOGGING = ("log_level", "log_format")
POSTGRES = ("postgres_dsn",)
KAFKA = (
    *("kafka_brokers", "kafka_security", "kafka_sasl_mechanism", "kafka_username", "kafka_password"),
    *("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_prefix"),
)
AnySettings = TypeVar("AnySettings", bound=SharedSettings)


class Setting(NamedTuple):
    """One variable, as `--help` lists it."""

    name: str
    variable: str
    default: str
    meaning: str


def read_settings(kind: type[AnySettings]) -> AnySettings:
    """Read the environment; `BadSettings` if a variable is invalid, by itself or together with another."""
    try:
        settings = kind()
    except ValidationError as error:
        problems = (f"{PREFIX}{str(e['loc'][0]).upper()}: {_reason(e['msg'])}" for e in error.errors())
        raise BadSettings("; ".join(problems)) from None
    if contradictions := list(settings.contradictions()):
        raise BadSettings("; ".join(contradictions))
    return settings


def list_settings(kind: type[SharedSettings]) -> Iterator[Setting]:
    """List every variable with its default, meaning and unit."""
    for name, field in kind.model_fields.items():
        yield Setting(name, PREFIX + name.upper(), str(field.default), field.description or "")


def _kafka_contradictions(settings: SharedSettings) -> Iterator[str]:
    """Kafka settings that the security protocol requires and that are not set, or that are set and would be unused."""
    security = settings.kafka_security
    users, files = ("kafka_username", "kafka_password"), ("kafka_ca_file", "kafka_cert_file", "kafka_key_file")
    with_user, with_tls = security.startswith("SASL_"), security.endswith("SSL")
    unused = (*(() if with_user else ("kafka_sasl_mechanism", *users)), *(() if with_tls else files))
    for name in users if with_user else ():
        if not getattr(settings, name):
            yield f"{PREFIX}{name.upper()}: is required if HOLDFAST_KAFKA_SECURITY is {security}"
    for name in unused:
        if name in settings.model_fields_set and getattr(settings, name):
            yield f"{PREFIX}{name.upper()}: has no use if HOLDFAST_KAFKA_SECURITY is {security}"
    if settings.kafka_key_file and not settings.kafka_cert_file:
        yield "HOLDFAST_KAFKA_KEY_FILE: has no use without HOLDFAST_KAFKA_CERT_FILE"


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").replace("\n", " ")
