"""What makes a repeat equal: requests as text, in one form for all callers; never the bytes that a caller sent."""

import hashlib
import json
from typing import NamedTuple

from inventory_service.domain.reservation import Line
from inventory_service.domain.sale import AdjustStock, CreateSale


class Terms(NamedTuple):
    """What a Reserve asks for; a spent id has no buyer and no lines."""

    buyer_id: str
    hold_ttl_ms: int | None  # as asked; None: not asked
    lines: tuple[Line, ...]  # sorted by SKU, equal SKUs summed
    reference: str  # '': none was given


def reserve_fingerprint(buyer_id: str, hold_ttl_ms: int | None, lines: tuple[Line, ...], reference: str) -> str:
    """Return buyer, life of the hold as asked ('-': not asked), lines and, where one was given, '#' and the reference.

    No id holds a blank, '=' or '#', so the text has one meaning; the scripts read the lines from it.
    """
    ttl = "-" if hold_ttl_ms is None else hold_ttl_ms
    asked = spelled(lines)
    return f"{buyer_id} {ttl} {asked} #{reference}" if reference else f"{buyer_id} {ttl} {asked}"


def spelled(lines: tuple[Line, ...]) -> str:
    """Return lines as the scripts read them."""
    return " ".join([f"{sku}={quantity}" for sku, quantity in lines])


def terms_of(fingerprint: str) -> Terms:
    """Return what the Reserve of a fingerprint asks for; a spent id's fingerprint is empty."""
    if not fingerprint:
        return Terms("", None, (), "")
    asked, _, reference = fingerprint.partition(" #")
    buyer, ttl, *lines = asked.split(" ")
    return Terms(buyer, None if ttl == "-" else int(ttl), tuple(_line_from(text) for text in lines), reference)


def _line_from(text: str) -> Line:
    sku, _, quantity = text.partition("=")
    return Line(sku, int(quantity))


def sale_fingerprint(request: CreateSale) -> str:
    """Return the digest of everything that the operator asked for; a start that was not asked for is part of it.

    A setting of a later version is in it only where it is set, so that a repeat across a deploy has the same digest.
    """
    asked: tuple[object, ...] = (
        request.title,
        request.start_time_ms,
        request.end_time_ms,
        request.hold_ttl_ms,
        request.max_hold_ttl_ms,
        request.buyer_limit,
        [item if item.buyer_limit else item[:2] for item in request.items],
    )
    later = {"attempts_per_minute": request.attempts_per_minute, "return_window_ms": request.return_window_ms}
    asked += tuple((name, value) for name, value in later.items() if value)
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def adjustment_body(request: AdjustStock) -> str:
    """Return what a repeat of an adjustment must ask for too: item, change, expected total ('-': any) and reference."""
    change = f"to {request.new_total}" if request.delta is None else f"by {request.delta}"
    expected = "-" if request.expected_total is None else request.expected_total
    return f"{request.sku} {change} {expected} {request.reference}"
