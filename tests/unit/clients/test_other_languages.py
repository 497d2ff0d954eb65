"""What clients in other languages have of the protos is what these say, also where their own tools are not at hand."""

import json
from pathlib import Path

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from holdfast.inventory.v1 import inventory_admin_service_pb2, inventory_service_pb2

from protos.client_stubs import CLIENTS, DIGESTS, SERVICE_CONFIG, digests

RECORDS = sorted([*CLIENTS.glob(f"*/*/{DIGESTS}"), *CLIENTS.glob(f"*/*/*/{DIGESTS}")])
CONFIG = json.loads(SERVICE_CONFIG.read_text())
SERVICES: list[ServiceDescriptor] = [
    inventory_service_pb2.DESCRIPTOR.services_by_name["InventoryService"],
    inventory_admin_service_pb2.DESCRIPTOR.services_by_name["InventoryAdminService"],
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.relative_to(CLIENTS).parts[0])
def test_the_committed_stubs_are_of_the_protos_as_they_are(record: Path) -> None:
    """A proto was changed, or only a comment in it: generate the stubs of every client again (CONTRIBUTING.md)."""
    assert record.read_text() == digests()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.relative_to(CLIENTS).parts[0])
def test_each_client_has_the_one_service_config(record: Path) -> None:
    """It lies beside the stubs, so that a program that has these has it too."""
    assert record.with_name(SERVICE_CONFIG.name).read_bytes() == SERVICE_CONFIG.read_bytes()


def test_the_service_config_repeats_every_unary_method_and_no_stream() -> None:
    """All unary methods may be repeated with the same request; what a stream has answered must not be asked again."""
    [method_config] = CONFIG["methodConfig"]
    unary = [
        {"service": service.full_name, "method": method.name}
        for service in SERVICES
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    ]

    assert len(unary) > 20
    assert method_config["name"] == unary


def test_the_service_config_repeats_what_is_unavailable_alone_and_is_throttled() -> None:
    """Four attempts: what is refused otherwise is refused again, and a server that is slow is not buried."""
    [method_config] = CONFIG["methodConfig"]

    assert method_config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert method_config["retryPolicy"]["maxAttempts"] == 4
    assert CONFIG["retryThrottling"] == {"maxTokens": 100, "tokenRatio": 0.1}


def test_the_lock_of_the_typescript_client_names_no_registry() -> None:
    """`npm ci` takes the packages from the registry that is configured, and checks their hashes."""
    lock = json.loads((CLIENTS / "typescript" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert len(packages) > 10
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")]
