"""A sale that `holdfast sale apply` finds, files that describe it, and what was sent and printed."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleRequest, GetSaleResponse
from holdfast.inventory.v1.sale_pb2 import Item, Sale, SaleState
from typer.testing import Result

from tests.unit.clients.cli.command import NOON, run
from tests.unit.clients.fake_inventory import FakeInventory, error_status

C = grpc.StatusCode
MISSING = error_status(C.NOT_FOUND, ErrorReason.ERROR_REASON_SALE_NOT_FOUND, sale_id="lamps")
OPEN, CLOSED, SCHEDULED = SaleState.SALE_STATE_OPEN, SaleState.SALE_STATE_CLOSED, SaleState.SALE_STATE_SCHEDULED
FOUND = Sale(
    sale_id="lamps",
    title="Lamps",
    start_time=NOON,
    end_time=NOON + timedelta(hours=2),
    hold_ttl=timedelta(minutes=10),
    max_hold_ttl=timedelta(minutes=10),
    state=OPEN,
    etag="e-1",
    items=[
        Item(sku="lamp", total=100, available=98, held=2, buyer_limit=2),
        Item(sku="shade", total=20, available=20),
    ],
)
SAME = """\
title: Lamps
start_time: 2026-11-27T13:00:00+01:00
end_time: 2026-11-27T14:00:00Z
hold_ttl: 600s
max_hold_ttl: ~
buyer_limit: 0
attempts_per_minute: ~
return_window: 0
state: open
"""
ITEMS = "items: [{sku: lamp, total: 100, buyer_limit: 2}, {sku: shade, total: 20}]\n"


def sale(text: str, sale_id: str = "lamps") -> str:
    """One element of the list of sales."""
    return f"  - sale_id: {sale_id}\n" + "".join(f"    {line}\n" for line in text.splitlines())


def apply(fake: FakeInventory, tmp_path: Path, *sales: str, words: Sequence[str] = ()) -> Result:
    file = tmp_path / "sales.yaml"
    file.write_text("sales:\n" + "".join(sales))
    return run(fake, "sale", "apply", str(file), *words)


def changed(**fields: Any) -> Sale:
    """The sale that was found, with some fields of another value."""
    other = Sale()
    other.CopyFrom(FOUND)
    other.MergeFrom(Sale(**fields))
    return other


def will_find(fake: FakeInventory, *found: Sale) -> None:
    fake.will_answer("GetSale", *(GetSaleResponse(sale=each) for each in found))


def sent(fake: FakeInventory) -> list[Any]:
    """The calls that change something."""
    return [request for request in fake.asked if not isinstance(request, GetSaleRequest)]


def lines_of(done: Result) -> list[str]:
    """What was printed, with one blank between words."""
    return [" ".join(line.split()) for line in done.stdout.splitlines()]
