"""A stack uses the external servers that its environment names, and starts an embedded one for each of the others."""

from pathlib import Path

import pytest
from holdfast_embedded.server_factories import EMBEDDED_BROKER_SETTINGS, ServerFactories
from holdfast_embedded.stack_servers import StackServers

EXTERNAL = [
    ("HOLDFAST_REDIS_URL", "valkey", "redis://redis.example:6379/0"),
    ("HOLDFAST_POSTGRES_DSN", "postgres", "postgresql://holdfast@postgres.example/holdfast"),
    ("HOLDFAST_KAFKA_BROKERS", "broker", "kafka.example:9092"),
]


def servers_for(folder: Path, environment: dict[str, str]) -> StackServers:
    """Return the servers of a stack that was not started."""
    servers = StackServers(folder, environment, "127.0.0.1:50051", 16, ServerFactories())
    if broker := servers.embedded.get("broker"):
        broker._address = "127.0.0.1:9092"  # type: ignore[attr-defined]  # the kernel chooses it at the start
    return servers


@pytest.mark.parametrize(("variable", "name", "address"), EXTERNAL, ids=[name for _, name, _ in EXTERNAL])
def test_an_external_server_takes_the_place_of_an_embedded_one(
    tmp_path: Path, variable: str, name: str, address: str
) -> None:
    """The programs get the address from the environment, and no embedded server of that name is made."""
    servers = servers_for(tmp_path, {variable: address})

    assert set(servers.embedded) == {"valkey", "postgres", "broker"} - {name}
    assert servers.has_external
    assert address in servers.addresses
    assert servers.program_environment()[variable] == address
    assert variable not in servers.embedded_addresses


def test_embedded_servers_are_the_default(tmp_path: Path) -> None:
    """Their addresses are offered to other programs, such as the audit in another terminal."""
    servers = servers_for(tmp_path, {})

    assert set(servers.embedded) == {"valkey", "postgres", "broker"}
    assert not servers.has_external
    assert servers.embedded_addresses == {
        "HOLDFAST_REDIS_URL": servers.addresses.redis_url,
        "HOLDFAST_POSTGRES_DSN": servers.addresses.postgres_dsn,
        "HOLDFAST_KAFKA_BROKERS": "127.0.0.1:9092",
    }


def test_settings_that_fit_the_embedded_broker_are_defaults(tmp_path: Path) -> None:
    """The user's own value overrides one, and an external broker needs none of them."""
    name = "HOLDFAST_KAFKA_SESSION_TIMEOUT_S"

    assert servers_for(tmp_path, {}).program_environment()[name] == EMBEDDED_BROKER_SETTINGS[name]
    assert servers_for(tmp_path, {name: "9"}).program_environment()[name] == "9"
    assert name not in servers_for(tmp_path, {"HOLDFAST_KAFKA_BROKERS": "kafka.example:9092"}).program_environment()


def test_port_0_is_resolved_once(tmp_path: Path) -> None:
    """A restarted server must listen on the port that its clients know."""
    servers = StackServers(tmp_path, {}, "127.0.0.1:0", 16, ServerFactories())

    assert not servers.listen.endswith(":0")
