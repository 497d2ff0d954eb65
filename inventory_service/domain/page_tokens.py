"""Page tokens: each names the last element that a page looked at, for the same tenant and selection only.

A token needs no secret: the tenant is the caller's own, so another place in the list is all that one can name.
"""

import hashlib
import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final

from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Key,
    ReservationSelection,
    SaleSelection,
    Selection,
)

MAX_LENGTH: Final = 300  # characters; the longest has two ids of 64 characters
MAX_TIME_US: Final = 253_402_300_799_999_999  # the end of the year 9999
_MAX_NUMBER: Final = 2**63 - 1
_VERSION: Final = b"\x01"
_DIGEST_BYTES: Final = 8

# Of each list its name in digests and what its keys consist of, for good: tokens do not expire.
_LISTS: Final[Mapping[type, tuple[str, tuple[type, ...]]]] = {
    ReservationSelection: ("reservations", (int, str, str)),
    SaleSelection: ("sales", (int, str)),
    AdjustmentSelection: ("adjustments", (int, int, int, int)),
    DeadLetterSelection: ("dead-letters", (int, int, int, int, int)),
    BlockedBuyerSelection: ("blocked-buyers", (int, str)),
}


class InvalidPageToken(ValueError):
    """It was not made for this list, tenant and selection."""


def page_token(selection: Selection, key: Key) -> str:
    """The token of the page that begins behind `key`."""
    raw = _VERSION + _digest(selection, key) + "/".join(map(str, key)).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def key_from_token(selection: Selection, token: str) -> Key:
    """The key in a token; `InvalidPageToken` unless `page_token` makes this very token of it."""
    try:
        key = _parsed(selection, token)
    except ValueError as error:
        raise InvalidPageToken from error
    if page_token(selection, key) != token:
        raise InvalidPageToken
    return key


def _parsed(selection: Selection, token: str) -> Key:
    if len(token) > MAX_LENGTH:
        raise ValueError("too long")
    raw = b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    parts = raw[len(_VERSION) + _DIGEST_BYTES :].decode("ascii").split("/")
    _, kinds = _LISTS[type(selection)]
    time_us, *others = key = tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
    numbers = [number for number in others if isinstance(number, int)]
    if not 0 <= time_us <= MAX_TIME_US or not all(0 <= number <= _MAX_NUMBER for number in numbers):
        raise ValueError("out of range")
    if not all(part.isprintable() for part in parts):
        raise ValueError("no id")
    return key


def _digest(selection: Selection, key: Key) -> bytes:
    """Also over the key, so that a token that was cut off or mistyped leads nowhere instead of elsewhere."""
    name, _ = _LISTS[type(selection)]
    text = json.dumps([name, *selection, key], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
