"""What makes a repeat equal: requests as text, in one form whoever wrote them; never the bytes that a caller sent."""

import hashlib
import json

from inventory_service.domain.requests import CreateSale, Line, Reserve


def reserve_body(request: Reserve) -> str:
    """Return buyer, life of the hold as asked ('-': not asked) and lines, which are summed and sorted already.

    No id holds a blank or '=', so the text has one meaning; the scripts read the lines from it.
    """
    ttl = "-" if request.hold_ttl_ms is None else request.hold_ttl_ms
    lines = " ".join([f"{sku}={quantity}" for sku, quantity in request.lines])
    return f"{request.buyer_id} {ttl} {lines}"


def parse_reserve_body(body: str) -> tuple[str, tuple[Line, ...]]:
    """Return buyer and lines of a body; a spent id's is empty."""
    if not body:
        return "", ()
    buyer, _, *lines = body.split(" ")
    return buyer, tuple(_line_from(text) for text in lines)


def _line_from(text: str) -> Line:
    sku, _, quantity = text.partition("=")
    return Line(sku, int(quantity))


def sale_body(request: CreateSale) -> str:
    """Return the digest of everything that the operator asked for; a start that was not asked for is part of it."""
    text = json.dumps([*request[1:-1], request.items])
    return hashlib.sha256(text.encode()).hexdigest()
