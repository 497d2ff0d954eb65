"""What has to be done so that a sale becomes what a file describes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from holdfast.cli.sale_files import State, WantedItem, WantedSale
from holdfast.inventory.v1.sale_pb2 import Item, Sale, SaleState

USUAL_HOLD = timedelta(minutes=10)  # of a sale that was given none
OVER = (SaleState.SALE_STATE_CLOSED, SaleState.SALE_STATE_ARCHIVED)
NOW = "now"


class Kind(StrEnum):
    """What a step does; in this order, so that a sale that is to be paused is so before anything else changes."""

    CREATE = "create"
    PAUSE = "pause"
    CHANGE = "change"
    ADD = "add"
    ADJUST = "adjust"
    RESUME = "resume"
    CLOSE = "close"


class Step(NamedTuple):
    """One difference. Values are as the file writes them; `sku` is the item that is added or adjusted."""

    kind: Kind
    field: str
    old: str | int | None
    new: str | int | None
    sku: str = ""

    @property
    def destroys(self) -> bool:
        """Whether it cannot be taken back, or takes units away."""
        is_lower = isinstance(self.old, int) and isinstance(self.new, int) and self.new < self.old
        return self.kind is Kind.CLOSE or (self.kind is Kind.ADJUST and is_lower)


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one sale, in their order; `fixed` is what no step can do, and `left_alone` what none is to do."""

    wanted: WantedSale
    etag: str
    steps: tuple[Step, ...]
    fixed: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()

    @property
    def creates(self) -> bool:
        return any(step.kind is Kind.CREATE for step in self.steps)


def plan(wanted: WantedSale, found: Sale | None, *, with_stock: bool) -> Plan:
    """Compare; a sale that is not found is made, and its totals with it."""
    if found is None:
        if lacking := tuple(_lacking(wanted)):
            return Plan(wanted, "", (), lacking)
        count = len(wanted.items)
        create = Step(Kind.CREATE, "sale", None, f"{count:,} item{'s' if count > 1 else ''}")
        return Plan(wanted, "", (create, *_state(wanted.state, State.OPEN)))
    items = {item.sku: item for item in found.items}
    stock = list(_stock(wanted, items))
    steps = [*_settings(wanted, found), *_added(wanted, items), *_state(wanted.state, state_of(found))]
    left = [f"item {sku}: is not in the file" for sku in items if wanted.items and sku not in wanted.items]
    if with_stock:
        steps += stock
    else:
        left += [f"item {step.sku}: has a total of {step.old}, not {step.new}: --stock changes it" for step in stock]
    order = list(Kind)
    steps.sort(key=lambda step: order.index(step.kind))
    return Plan(wanted, found.etag, tuple(steps), tuple(_fixed(wanted, items)), tuple(left))


def state_of(sale: Sale) -> State:
    """The state that an operator has given it."""
    if sale.state in OVER:
        return State.CLOSED
    return State.PAUSED if sale.paused else State.OPEN


def _lacking(wanted: WantedSale) -> Iterator[str]:
    """What the file must say of a sale that is to be made."""
    if not wanted.items:
        yield "there is none yet, and the file has no items of it"
    yield from (_without_total(item) for item in wanted.items.values() if item.total is None)


def _without_total(item: WantedItem) -> str:
    return f"item {item.sku}: there is none yet, and the file has no total of it"


def _settings(wanted: WantedSale, found: Sale) -> Iterator[Step]:
    present = _present(found)
    for name, value in wanted.settings.items():
        new = value if value is not None else _usual(name, wanted, found)
        if new != present[name]:
            yield Step(Kind.CHANGE, name, written(present[name]), written(new))


def _present(sale: Sale) -> dict[str, Any]:
    """The settings of a sale as the file has them."""
    return {
        "title": sale.title,
        "start_time": sale.start_time.ToDatetime(UTC),
        "end_time": sale.end_time.ToDatetime(UTC) if sale.HasField("end_time") else None,
        "hold_ttl": sale.hold_ttl.ToTimedelta(),
        "max_hold_ttl": sale.max_hold_ttl.ToTimedelta(),
        "buyer_limit": sale.buyer_limit,
        "attempts_per_minute": sale.attempts_per_minute,
        "return_window": sale.return_window.ToTimedelta(),
    }


def _usual(name: str, wanted: WantedSale, found: Sale) -> Any:
    """What a server makes of a setting that is unset."""
    if name == "start_time":
        return NOW if found.state == SaleState.SALE_STATE_SCHEDULED else _present(found)[name]
    if name == "max_hold_ttl":
        hold_ttl = wanted.settings.get("hold_ttl", found.hold_ttl.ToTimedelta())
        return USUAL_HOLD if hold_ttl is None else hold_ttl
    usual: dict[str, Any] = {"title": "", "end_time": None, "hold_ttl": USUAL_HOLD, "return_window": timedelta(0)}
    return usual.get(name, 0)


def _added(wanted: WantedSale, items: dict[str, Item]) -> Iterator[Step]:
    for item in wanted.items.values():
        if item.sku not in items and item.total is not None:
            yield Step(Kind.ADD, f"items.{item.sku}.total", None, item.total, item.sku)


def _stock(wanted: WantedSale, items: dict[str, Item]) -> Iterator[Step]:
    for item in _in_both(wanted, items):
        if item.total not in (None, items[item.sku].total):
            yield Step(Kind.ADJUST, f"items.{item.sku}.total", items[item.sku].total, item.total, item.sku)


def _fixed(wanted: WantedSale, items: dict[str, Item]) -> Iterator[str]:
    for item in wanted.items.values():
        if item.sku not in items and item.total is None:
            yield _without_total(item)
    for item in _in_both(wanted, items):
        limit = items[item.sku].buyer_limit
        if item.buyer_limit is not None and item.buyer_limit != limit:
            yield f"item {item.sku}: its buyer_limit is {limit}, not {item.buyer_limit}, and is never changed"


def _in_both(wanted: WantedSale, items: dict[str, Item]) -> list[WantedItem]:
    return [item for item in wanted.items.values() if item.sku in items]


def _state(wanted: State | None, present: State) -> Iterator[Step]:
    """Nothing if the file leaves it open. A sale that is closed stays so, as the server says."""
    kinds = {State.OPEN: Kind.RESUME, State.PAUSED: Kind.PAUSE, State.CLOSED: Kind.CLOSE}
    if wanted is not None and wanted is not present:
        yield Step(kinds[wanted], "state", str(present), str(wanted))


def written(value: Any) -> str | int | None:
    """A value as the file writes it."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds").replace("+00:00", "Z")
    return _written_duration(value) if isinstance(value, timedelta) else value


def _written_duration(length: timedelta) -> str:
    left = round(length / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"
