"""The names in callers' certificates are read whole, in their order, and of the kinds that identities may have."""

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography.x509 import (
    DirectoryName,
    DNSName,
    GeneralName,
    IPAddress,
    Name,
    NameAttribute,
    ObjectIdentifier,
    RegisteredID,
    RFC822Name,
    UniformResourceIdentifier,
)
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from inventory_service.adapters.certificate_names import certificate_names
from tests.certificates import Authority

OTHERS = [DirectoryName(Name([NameAttribute(NameOID.COMMON_NAME, "ann")])), RegisteredID(ObjectIdentifier("1.2.3"))]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ([UniformResourceIdentifier("spiffe://shop/b"), DNSName("a.example")], ["spiffe://shop/b", "a.example"]),
        ([RFC822Name("ann@shop.example"), DNSName("A.Example")], ["ann@shop.example", "A.Example"]),
        ([DNSName("a.example")] * 2, ["a.example"] * 2),
        ([IPAddress(ip_address(ip)) for ip in ("10.0.0.7", "2001:db8::7")], ["10.0.0.7", "2001:db8::7"]),
        ([IPAddress(ip_address("::ffff:10.0.0.7"))], ["::ffff:10.0.0.7"]),
        ([DNSName("a.example\0.evil"), DNSName("*.example")], ["a.example\0.evil", "*.example"]),
        ([UniformResourceIdentifier("spiffe://a\0"), RFC822Name("a@b")], ["spiffe://a\0", "a@b"]),
        ([*OTHERS, DNSName("a.example")], ["a.example"]),
        (OTHERS, []),
    ],
)
def test_each_entry_is_a_name_as_it_is_written(
    authority: Authority, tmp_path: Path, entries: Sequence[GeneralName], names: Sequence[str]
) -> None:
    """Names of people and numbers are no entries that a table could have."""
    issued = authority.issue(tmp_path, *entries)

    assert certificate_names(issued.certificate.read_bytes()) == tuple(name.encode() for name in names)


def test_a_certificate_without_an_alternative_name_has_none(authority: Authority, tmp_path: Path) -> None:
    """Its common name is none."""
    issued = authority.issue(tmp_path, common_name="a.example")

    assert certificate_names(issued.certificate.read_bytes()) == ()


def test_one_that_cannot_be_read_has_none_and_is_logged_once() -> None:
    """However many calls it makes."""
    with capture_logs() as logged:
        assert [certificate_names(b"no certificate") for _ in range(2)] == [(), ()]

    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("client_certificate_unreadable", "warning")]
