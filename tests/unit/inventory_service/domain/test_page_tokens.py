"""A page token names a place in one list of one tenant and selection; anything else is no token."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Key,
    ReservationSelection,
    SaleSelection,
    Selection,
)
from inventory_service.domain.page_tokens import MAX_TIME_US, InvalidPageToken, key_from_token, page_token

BUYER = ReservationSelection("acme", "ada", "", "", ())
KEY: Key = (1_700_000_000_000_001, "lamp-sale", "r:1")
KEYS: list[tuple[Selection, Key]] = [
    (BUYER, KEY),
    (ReservationSelection("a" * 63, "b" * 64, "c" * 64, "d" * 64, (1, 2)), (MAX_TIME_US, "s" * 64, "r" * 64)),
    (SaleSelection("acme", (1, 6)), (0, "lamp-sale")),
    (AdjustmentSelection("acme", "lamp-sale", "lamp"), (5, 2**63 - 1, 1, 0)),
    (DeadLetterSelection("acme", "", (2,)), (5, 15, 1_700_000_000, 9, 227)),
    (BlockedBuyerSelection("acme"), (5, "ada")),
]


def is_token(selection: Selection, token: str) -> bool:
    try:
        key_from_token(selection, token)
    except InvalidPageToken:
        return False
    return True


@pytest.mark.parametrize(("selection", "key"), KEYS)
def test_a_token_leads_back_to_its_key(selection: Selection, key: Key) -> None:
    """Of every list, with the longest ids too."""
    assert key_from_token(selection, page_token(selection, key)) == key


def test_a_token_stays_what_it_is_from_release_to_release() -> None:
    """Tokens do not expire, so a newer server reads those of an older one."""
    assert page_token(BUYER, KEY) == "AexG2m6N2lR4MTcwMDAwMDAwMDAwMDAwMS9sYW1wLXNhbGUvcjox"


@pytest.mark.parametrize(
    "other",
    [
        BUYER._replace(tenant="zenith"),
        BUYER._replace(buyer_id="bob"),
        BUYER._replace(buyer_id="", sale_id="ada"),
        BUYER._replace(reference="cart"),
        BUYER._replace(states=(1,)),
    ],
)
def test_a_token_of_another_tenant_or_selection_is_none(other: ReservationSelection) -> None:
    """It would skip what the other selection has before that place."""
    assert not is_token(other, page_token(BUYER, KEY))


def test_a_token_of_another_list_is_none() -> None:
    """Even where its key would fit."""
    sales, buyers = SaleSelection("acme", ()), BlockedBuyerSelection("acme")

    assert not is_token(buyers, page_token(sales, (5, "ada")))


def test_what_is_no_token_of_the_list_is_none() -> None:
    """Garbage, a token with a slip, and forged ones: none of it reaches the ledger, which could not read their keys."""
    token = page_token(BUYER, KEY)
    raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    garbage = ["", "x", "====", token[:-1], token[1:], token + "A", token + "=", f" {token}", "ñ" * 8, "A" * 100_000]
    other_version = urlsafe_b64encode(b"\x02" + raw[1:]).rstrip(b"=").decode()
    forged = [
        *(page_token(BUYER, (time_us, "lamp-sale", "r:1")) for time_us in (-1, MAX_TIME_US + 1)),
        *(page_token(BUYER, (5, "lamp-sale", reservation_id)) for reservation_id in ("r\x001", "ñ", "r/1", "r" * 300)),
        *(page_token(BUYER, key) for key in ((5, "lamp-sale"), (5,), (), ("5", 6, 7), ("x", "lamp-sale", "r:1"))),
        *(page_token(BUYER, (text, "lamp-sale", "r:1")) for text in ("05", "+5", "5_0", "9" * 200, " 5")),
    ]
    letters = DeadLetterSelection("acme", "", ())

    assert is_token(BUYER, token)
    assert [text for text in [*garbage, other_version, *forged] if is_token(BUYER, text)] == []
    assert not is_token(letters, page_token(letters, (5, 1, 2**63, 1, 1)))
