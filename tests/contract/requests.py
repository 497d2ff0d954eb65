"""Requests with defaults, so that a test gives only the values that matter to it."""

from collections.abc import Mapping

from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import BuyerKey, Position, SaleKey
from inventory_service.domain.moves import Compensate, Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Replay, Reserve
from inventory_service.domain.sale import ActOnSale, AdjustStock, CreateSale, NewItem, SaleAction, UpdateSale

SALE = SaleKey("default", "lamp-sale")
MINUTE_MS = 60_000


def create(sale: SaleKey = SALE, hold_ttl_ms: int = 10 * MINUTE_MS, **rest: object) -> CreateSale:
    """A sale of 10 lamps and 10 shades that is open, unless said otherwise."""
    settings: dict[str, object] = {
        "title": "Lamps",
        "start_time_ms": None,
        "end_time_ms": None,
        "max_hold_ttl_ms": hold_ttl_ms,
        "buyer_limit": 0,
        "items": {"lamp": 10, "shade": 10},
        "item_limits": {},
    }
    settings |= rest
    limits: dict[str, int] = settings.pop("item_limits")  # type: ignore[assignment]
    totals = sorted(dict(settings.pop("items")).items())  # type: ignore[call-overload]
    items = tuple(NewItem(sku, total, limits.get(sku, 0)) for sku, total in totals)
    return CreateSale(sale=sale, hold_ttl_ms=hold_ttl_ms, items=items, **settings)  # type: ignore[arg-type]


def reserve(
    reservation_id: str,
    buyer: str = "b-1",
    sale: SaleKey = SALE,
    ttl_ms: int | None = None,
    reference: str = "",
    **lines: int,
) -> Reserve:
    """A Reserve of one lamp, unless lines are given."""
    return Reserve(sale, reservation_id, buyer, lines_of(lines or {"lamp": 1}), ttl_ms, reference)


def replay(
    reservation_id: str,
    buyer: str = "b-1",
    sale: SaleKey = SALE,
    sells: bool = False,
    reference: str = "",
    **lines: int,
) -> Replay:
    """A replay of a dead letter of one lamp, unless lines are given."""
    return Replay(reserve(reservation_id, buyer, sale, None, reference, **lines), sells)


def confirm(reservation_id: str, sale: SaleKey = SALE, revision: int | None = None, **lines: int) -> Move:
    """A confirm of these lines, or else of everything."""
    return Move(sale, reservation_id, MoveKind.CONFIRM, "", revision, lines_of(lines))


def release(reservation_id: str, sale: SaleKey = SALE, reason: str = "", revision: int | None = None) -> Move:
    """A release."""
    return Move(sale, reservation_id, MoveKind.RELEASE, reason, revision)


def extend(reservation_id: str, hold_ttl_ms: int, sale: SaleKey = SALE, revision: int | None = None) -> Move:
    """A longer life for a hold, from its creation."""
    return Move(sale, reservation_id, MoveKind.EXTEND, "", revision, hold_ttl_ms=hold_ttl_ms)


def give_back(
    reservation_id: str, sale: SaleKey = SALE, revision: int | None = None, discards: bool = False, **lines: int
) -> Move:
    """A return of these lines, or else of everything."""
    return Move(sale, reservation_id, MoveKind.RETURN, "broken", revision, lines_of(lines), discards=discards)


def change(reservation_id: str, sale: SaleKey = SALE, revision: int | None = None, **lines: int) -> ChangeHold:
    """What a hold is to hold."""
    return ChangeHold(sale, reservation_id, lines_of(lines), revision)


def lines_of(lines: Mapping[str, int]) -> tuple[Line, ...]:
    """Lines sorted by SKU."""
    return tuple(Line(sku, quantity) for sku, quantity in sorted(lines.items()))


def spend(reservation_id: str, sale: SaleKey = SALE, reason: str = "") -> Move:
    """A release that ends an id, whether or not it was used."""
    return Move(sale, reservation_id, MoveKind.SPEND, reason)


def block(buyer: str, version: int, before: int | None = None) -> BlockChange:
    """A buyer was blocked, which made the list this version; where `before` is `version` it was so already."""
    return BlockChange(BuyerKey("default", buyer), True, version - 1 if before is None else before, version)


def unblock(buyer: str, version: int, before: int | None = None) -> BlockChange:
    """A block was taken back; where `before` is `version` there was none."""
    return block(buyer, version, before)._replace(is_blocked=False)


def compensate(reservation_id: str, created: Position, sale: SaleKey = SALE) -> Compensate:
    """A compensation of a blocked buyer's order."""
    return Compensate(sale, reservation_id, created, reason=1, detail="blocked")


def act(action: SaleAction, sale: SaleKey = SALE, etag: str = "", reason: str = "", actor: str = "") -> ActOnSale:
    """A pause, a resume or a close."""
    return ActOnSale(sale, action, etag, reason, actor)


def update(
    sale: SaleKey = SALE, etag: str = "", items: dict[str, int] | None = None, **settings: str | int | None
) -> UpdateSale:
    """An update of the settings that are given."""
    added = tuple(NewItem(sku, total) for sku, total in sorted((items or {}).items()))
    return UpdateSale(sale, settings, added, etag)


def adjust(
    adjustment_id: str = "a-1",
    delta: int | None = None,
    new_total: int | None = None,
    expected_total: int | None = None,
    sku: str = "lamp",
    sale: SaleKey = SALE,
    reason: str = "counted",
    reference: str = "",
    actor: str = "",
) -> AdjustStock:
    """A change of how many lamps are on sale; one more unless said otherwise."""
    if delta is None and new_total is None:
        delta = 1
    return AdjustStock(sale, adjustment_id, sku, delta, new_total, expected_total, reason, reference, actor)
