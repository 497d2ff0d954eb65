"""Read the environment once into one frozen object, or say in one line which variable makes no sense and why."""

import re
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "HOLDFAST_"

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


def _checked_dsn(value: str) -> str:
    if not re.match(r"(postgresql|postgres)://", value):
        raise ValueError("must be a URL that starts with postgresql://")
    return value


Brokers = Annotated[str, AfterValidator(_checked_brokers)]
Dsn = Annotated[str, AfterValidator(_checked_dsn)]
OptionalAddress = Annotated[str, AfterValidator(lambda value: value and _checked_address(value))]


class Settings(BaseSettings):
    """Everything that can be set for the persister; each field is one HOLDFAST_ variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    postgres_dsn: Dsn = Field("postgresql://127.0.0.1:5432/holdfast", description="the ledger, a URL")
    kafka_brokers: Brokers = Field("127.0.0.1:9092", description="brokers to ask first, host:port, comma-separated")
    shards: int = Field(16, ge=1, le=1024, description="parts of all sales; as `init` was run with")
    kafka_session_timeout_s: int = Field(
        10, ge=1, le=300, description="seconds after which Kafka gives a silent persister's partitions away"
    )
    metrics_listen: OptionalAddress = Field(
        "127.0.0.1:0", description="where /metrics is served, host:port; port 0: any, see the log; empty: nowhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least that is logged")
    log_format: Literal["console", "json"] = Field("console", description="for a person or for a machine")


class Setting(NamedTuple):
    """One variable, for `--help`."""

    variable: str
    default: str
    meaning: str


def read_settings() -> Settings:
    """Read the environment; BadSettings if a variable makes no sense."""
    try:
        return Settings()
    except ValidationError as error:
        complaints = (f"{PREFIX}{str(e['loc'][0]).upper()}: {_reason(e['msg'])}" for e in error.errors())
        raise BadSettings("; ".join(complaints)) from None


def list_settings() -> Iterator[Setting]:
    """Every variable with its default and its meaning, units included, in the order of the class."""
    for name, field in Settings.model_fields.items():
        yield Setting(PREFIX + name.upper(), str(field.default), field.description or "")


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ").replace("\n", " ")
