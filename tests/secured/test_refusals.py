"""A wrong setting ends a process at once, with one line that names the server, the setting and the reason."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pytest

from tests.secured.conftest import ENDS_S, Authorities, run
from tests.secured.servers import USER, SecuredPostgres, SecuredRedis
from tests.waiting import eventually

BAD_SETTINGS = 2
LONG_WAIT = {"HOLDFAST_START_WAIT_S": "600"}  # a process that ends within the test has not waited
NOT_TRUSTED = "its certificate is not trusted: unable to get local issuer certificate"
WRONG_HOST_NAME = "its certificate is not trusted: Hostname mismatch, certificate is not valid for 'localhost'."
NO_PASSWORD = f'password authentication failed for user "{USER}"'
WRONG_PAIR = "invalid username-password pair or user is disabled."


class Servers(NamedTuple):
    """What wrong settings are made from."""

    authorities: Authorities
    redis: SecuredRedis
    postgres: SecuredPostgres


Wrong = Callable[[Servers], str]
WRONG_REDIS: Mapping[str, tuple[Wrong, str]] = {
    "password": (lambda to: to.redis.url(f"{USER}:no", ca=to.authorities.authority.file), WRONG_PAIR),
    "user": (lambda to: to.redis.url("bob:no", ca=to.authorities.authority.file), WRONG_PAIR),
    "rights": (
        lambda to: to.redis.url(":", database=1, ca=to.authorities.authority.file),
        "this user has no permissions to run the 'select' command",
    ),
    "database": (lambda to: to.redis.url(database=99, ca=to.authorities.authority.file), "DB index is out of range"),
    "authority": (lambda to: to.redis.url(ca=to.authorities.other_authority.file), NOT_TRUSTED),
    "host": (lambda to: to.redis.url(host="localhost", ca=to.authorities.authority.file), WRONG_HOST_NAME),
}
WRONG_POSTGRES: Mapping[str, tuple[Wrong, str]] = {
    "password": (lambda to: to.postgres.dsn(f"{USER}:no", ca=to.authorities.authority.file), NO_PASSWORD),
    "database": (
        lambda to: to.postgres.dsn(database="no", ca=to.authorities.authority.file),
        'database "no" does not exist',
    ),
    "authority": (lambda to: to.postgres.dsn(ca=to.authorities.other_authority.file), NOT_TRUSTED),
    "host": (lambda to: to.postgres.dsn(host="localhost", ca=to.authorities.authority.file), WRONG_HOST_NAME),
    "option": (
        lambda to: to.postgres.dsn(ca=to.authorities.authority.file) + "&nonsense=1",
        'unrecognized configuration parameter "nonsense"',
    ),
    "TLS": (lambda to: to.postgres.dsn().partition("?")[0] + "?sslmode=disable", "no pg_hba.conf entry for host"),
}
WRONG_KAFKA: Mapping[str, tuple[str, Wrong, str]] = {
    "password": ("HOLDFAST_KAFKA_PASSWORD", lambda _: "no", "Authentication failed during authentication"),
    "user": ("HOLDFAST_KAFKA_USERNAME", lambda _: "bob", "Authentication failed during authentication"),
    "mechanism": ("HOLDFAST_KAFKA_SASL_MECHANISM", lambda _: "SCRAM-SHA-256", "it does not support SCRAM-SHA-256"),
    "authority": ("HOLDFAST_KAFKA_CA_FILE", lambda to: str(to.authorities.other_authority.file), NOT_TRUSTED),
}


@pytest.fixture
def servers(authorities: Authorities, redis: SecuredRedis, postgres: SecuredPostgres) -> Servers:
    return Servers(authorities, redis, postgres)


@pytest.mark.parametrize("what", WRONG_REDIS)
async def test_a_redis_that_rejects_the_connection_is_named(
    servers: Servers, settings: dict[str, str], what: str
) -> None:
    """The line names the server whose password is wrong."""
    wrong, why = WRONG_REDIS[what]

    ended = await run("serve", {**settings, **LONG_WAIT, "HOLDFAST_REDIS_URL": wrong(servers)})

    [line] = ended.lines
    assert line.startswith("HOLDFAST_REDIS_URL: Redis at ")
    assert why in line
    assert ended.code == BAD_SETTINGS


@pytest.mark.parametrize("process", ["serve", "persist"])
@pytest.mark.parametrize("what", WRONG_POSTGRES)
async def test_a_postgres_that_rejects_the_connection_is_named(
    servers: Servers, settings: dict[str, str], process: str, what: str
) -> None:
    """By both services, in the same words."""
    wrong, why = WRONG_POSTGRES[what]

    ended = await run(process, {**settings, **LONG_WAIT, "HOLDFAST_POSTGRES_DSN": wrong(servers)})

    [line] = ended.lines
    assert line.startswith("HOLDFAST_POSTGRES_DSN: PostgreSQL at ")
    assert why in line
    assert ended.code == BAD_SETTINGS


@pytest.mark.parametrize("process", ["topics", "persist"])
@pytest.mark.parametrize("what", WRONG_KAFKA)
async def test_a_kafka_that_rejects_the_connection_is_named(
    servers: Servers, settings: dict[str, str], process: str, what: str
) -> None:
    """The line names the one of Kafka's settings that is wrong."""
    variable, wrong, why = WRONG_KAFKA[what]
    named = "HOLDFAST_KAFKA_PASSWORD" if what == "user" else variable

    ended = await run(process, {**settings, **LONG_WAIT, variable: wrong(servers)})

    [line] = ended.lines
    assert line.startswith(f"{named}: Kafka at ")
    assert why in line
    assert ended.code == BAD_SETTINGS


@pytest.mark.parametrize(
    ("process", "variable"),
    [
        ("relay", "HOLDFAST_KAFKA_PASSWORD"),
        ("compensate", "HOLDFAST_REDIS_URL"),
        ("init", "HOLDFAST_REDIS_URL"),
        ("audit", "HOLDFAST_POSTGRES_DSN"),
        ("migrate", "HOLDFAST_POSTGRES_DSN"),
    ],
)
async def test_every_process_checks_its_servers_before_it_starts(
    servers: Servers, settings: dict[str, str], process: str, variable: str
) -> None:
    """None of them waits for ever, or fails in the middle of its work."""
    wrong = {
        "HOLDFAST_REDIS_URL": WRONG_REDIS["password"][0](servers),
        "HOLDFAST_POSTGRES_DSN": WRONG_POSTGRES["password"][0](servers),
        "HOLDFAST_KAFKA_PASSWORD": "no",
    }

    ended = await run(process, {**settings, **LONG_WAIT, variable: wrong[variable]})

    [line] = ended.lines
    assert line.startswith(f"{variable}: ")
    assert ended.code == BAD_SETTINGS


@pytest.mark.parametrize("process", ["compensate", "persist"])
async def test_a_closed_kafka_connection_names_the_security_setting(settings: dict[str, str], process: str) -> None:
    """A broker with TLS does not answer a client without it."""
    plain = {name: value for name, value in settings.items() if not name.startswith("HOLDFAST_KAFKA_")}
    plain |= {"HOLDFAST_KAFKA_BROKERS": settings["HOLDFAST_KAFKA_BROKERS"], "HOLDFAST_START_WAIT_S": "10"}

    ended = await run(process, plain)

    [line] = ended.lines
    assert line.startswith("HOLDFAST_KAFKA_BROKERS: Kafka at ")
    assert "is HOLDFAST_KAFKA_SECURITY what it expects?" in line
    assert ended.code == BAD_SETTINGS


async def test_a_wrong_password_ends_a_process_without_a_start_wait(servers: Servers, settings: dict[str, str]) -> None:
    """HOLDFAST_START_WAIT_S=0 is for servers that are down, and this one answers."""
    wrong, why = WRONG_REDIS["password"]

    at_once = {**settings, "HOLDFAST_REDIS_URL": wrong(servers), "HOLDFAST_START_WAIT_S": "0"}

    # It probes once, and starts without Redis if the probe times out because Redis is halted.
    ended = await eventually(lambda: run("serve", at_once, ENDS_S / 4), ENDS_S)

    assert why in ended.lines[-1]
    assert ended.code == BAD_SETTINGS
