"""Who a client certificate stands for, by the names in it; the table is read strictly, for it decides who may what."""

import pytest

from inventory_service.domain.caller import READ, RESERVE, Caller
from inventory_service.domain.identities import (
    AmbiguousCertificate,
    BadIdentities,
    caller_of_names,
    identities_from_toml,
)

CHECKOUT, REPORTS = b"spiffe://shop/checkout", b"reports.shop.example"
TABLE = """
[[identity]]
san = "spiffe://shop/checkout"
tenant = "shop"
scopes = ["inventory.reserve", "inventory.read"]

[[identity]]
san = "reports.shop.example"
tenant = "shop"
scopes = ["inventory.read"]

[[identity]]
san = "checkout-2.shop.example"
tenant = "shop"
scopes = ["inventory.read", "inventory.reserve"]
"""
ENTRY = 'san = "a.example"\ntenant = "shop"\nscopes = ["inventory.read"]\n'


def test_a_name_of_the_certificate_is_its_caller() -> None:
    """With the tenant and scopes of the entry, and the name itself as the one who acts."""
    identities = identities_from_toml(TABLE)

    callers = [caller_of_names([b"127.0.0.1", name], identities) for name in (CHECKOUT, REPORTS)]

    assert callers == [
        Caller("shop", "spiffe://shop/checkout", frozenset({READ, RESERVE})),
        Caller("shop", "reports.shop.example", frozenset({READ})),
    ]


@pytest.mark.parametrize(
    "name", [b"", b"reports", b"x.reports.shop.example", b"REPORTS.shop.example", b"*.shop.example"]
)
def test_a_name_matches_as_a_whole_and_as_it_is_written(name: bytes) -> None:
    """An authority that signs names below one of the table's would else give away its rights."""
    assert caller_of_names([name], identities_from_toml(TABLE)) is None


def test_a_certificate_of_two_callers_is_the_first_if_they_may_do_the_same() -> None:
    """As while a service gets a new name; else what it may do would depend on the order of its names."""
    identities = identities_from_toml(TABLE)

    same = caller_of_names([b"checkout-2.shop.example", CHECKOUT], identities)

    assert same is not None
    assert same.subject == "checkout-2.shop.example"
    with pytest.raises(AmbiguousCertificate, match=r"spiffe://shop/checkout and reports.shop.example"):
        caller_of_names([CHECKOUT, REPORTS], identities)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ("is no TOML: ", "[[identity]"),
        ("has no [[identity]]", ""),
        ("has the unknown key identities", f"[[identities]]\n{ENTRY}"),
        ("must begin with [[identity]]", f"[identity]\n{ENTRY}"),
        ("must begin with [[identity]]", 'identity = ["a"]'),
        ("entry 1: has the unknown key scope", f'[[identity]]\n{ENTRY}scope = ["inventory.read"]'),
        ("entry 1: lacks the key tenant", '[[identity]]\nsan = "a"\nscopes = ["inventory.read"]'),
        ("entry 2: names a.example once more", f"[[identity]]\n{ENTRY}[[identity]]\n{ENTRY}"),
        ("entry 1: san must be", f"[[identity]]\n{ENTRY}".replace("a.example", "")),
        ("entry 1: san must be", f"[[identity]]\n{ENTRY}".replace("a.example", "a example")),
        ("entry 1: san must be", f"[[identity]]\n{ENTRY}".replace("a.example", "a" * 256)),
        ("entry 1: tenant must be", f"[[identity]]\n{ENTRY}".replace("shop", "Shop")),
        ("entry 1: tenant must be", f"[[identity]]\n{ENTRY}".replace("shop", "shop-")),
        ("entry 1: tenant must be", f"[[identity]]\n{ENTRY}".replace('"shop"', "3")),
        ("entry 1: scopes must be", f"[[identity]]\n{ENTRY}".replace('["inventory.read"]', "[]")),
        ("entry 1: scopes must be", f"[[identity]]\n{ENTRY}".replace('["inventory.read"]', '"inventory.read"')),
        ("entry 1: has the unknown scope inventory.all", f"[[identity]]\n{ENTRY}".replace(".read", ".all")),
    ],
)
def test_a_table_with_a_mistake_is_rejected_as_a_whole(problem: str, text: str) -> None:
    """In one line that tells where it is; a caller must not lose or get rights by an error in typing."""
    with pytest.raises(BadIdentities) as raised:
        identities_from_toml(text)

    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)
