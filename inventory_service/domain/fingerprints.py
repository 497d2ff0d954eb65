"""What makes a repeat equal: requests as text, in one form for all callers; never the bytes that a caller sent."""

import hashlib
import json

from inventory_service.domain.reservation import Line
from inventory_service.domain.sale import CreateSale


def reserve_fingerprint(buyer_id: str, hold_ttl_ms: int | None, lines: tuple[Line, ...]) -> str:
    """Return buyer, life of the hold as asked ('-': not asked) and lines, which are summed and sorted already.

    No id holds a blank or '=', so the text has one meaning; the scripts read the lines from it.
    """
    ttl = "-" if hold_ttl_ms is None else hold_ttl_ms
    spelled = " ".join([f"{sku}={quantity}" for sku, quantity in lines])
    return f"{buyer_id} {ttl} {spelled}"


def terms_of(fingerprint: str) -> tuple[str, tuple[Line, ...]]:
    """Return buyer and lines of a Reserve's fingerprint; a spent id's is empty."""
    if not fingerprint:
        return "", ()
    buyer, _, *lines = fingerprint.split(" ")
    return buyer, tuple(_line_from(text) for text in lines)


def _line_from(text: str) -> Line:
    sku, _, quantity = text.partition("=")
    return Line(sku, int(quantity))


def sale_fingerprint(request: CreateSale) -> str:
    """Return the digest of everything that the operator asked for; a start that was not asked for is part of it."""
    asked = (
        request.title,
        request.start_time_ms,
        request.end_time_ms,
        request.hold_ttl_ms,
        request.max_hold_ttl_ms,
        request.buyer_limit,
        request.items,
    )
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
