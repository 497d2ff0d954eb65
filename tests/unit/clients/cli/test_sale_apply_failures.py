"""`holdfast sale apply` where something fails: what was done by then, and what to do next."""

import json
from pathlib import Path
from typing import Any

import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse

from tests.unit.clients.cli.applied_sales import (
    FOUND,
    ITEMS,
    MISSING,
    C,
    apply,
    lines_of,
    sale,
    sent,
    will_find,
)
from tests.unit.clients.cli.command import TOO_LONG_S
from tests.unit.clients.fake_inventory import FakeInventory, error_status, unavailable


def test_a_limit_of_an_item_that_differs_stops_everything(fake: FakeInventory, tmp_path: Path) -> None:
    """No call changes it, and a run that leaves it so would not have done what the file says."""
    will_find(fake, FOUND, FOUND)

    done = apply(
        fake, tmp_path, sale("title: B\n" + ITEMS, "first"), sale("items: [{sku: lamp, total: 100, buyer_limit: 5}]")
    )

    assert done.exit_code == 1
    assert sent(fake) == []
    assert "nothing was done: sale lamps: item lamp: its buyer_limit is 2, not 5" in done.stderr


def test_a_failure_in_the_middle_says_what_was_done(fake: FakeInventory, tmp_path: Path) -> None:
    """What comes after it is not tried; as JSON it stands beside the error."""
    for _ in range(2):
        fake.will_answer("GetSale", MISSING, GetSaleResponse(sale=FOUND), MISSING)
        fake.will_answer("CreateSale", admin.CreateSaleResponse(sale=FOUND))
        fake.will_answer("AdjustStock", admin.AdjustStockResponse())
        in_use = {"sku": "shade", "held": "3", "sold": "4"}
        fake.will_answer(
            "AdjustStock", error_status(C.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_STOCK_IN_USE, **in_use)
        )
    text = sale("items: [{sku: lamp, total: 120}, {sku: shade, total: 1}]")
    sales = (sale(ITEMS, "first"), text, sale(ITEMS, "third"))

    done = apply(fake, tmp_path, *sales, words=("--stock", "--yes"))
    as_json = apply(fake, tmp_path, *sales, words=("--stock", "--yes", "--json"))

    assert done.exit_code == as_json.exit_code == 1
    assert [line.split()[0] for line in lines_of(done)] == ["created", "adjusted"]
    count, failure = done.stderr.splitlines()
    assert count == "3 sales: 1 created, 1 failed, 1 not tried"
    assert failure == (
        "holdfast: item shade of sale lamps: 3 are held and 4 sold, and so many must remain [STOCK_IN_USE]"
    )
    whole = json.loads(as_json.stdout)
    assert whole["error"]["reason"] == "ERROR_REASON_STOCK_IN_USE"
    assert [one["result"] for one in whole["sales"]] == ["created", "failed", "not tried"]
    adjusted = {"change": "adjust", "field": "items.lamp.total", "old": 100, "new": 120}
    assert whole["sales"][1]["changes"] == [adjusted]


@pytest.mark.parametrize(
    ("status", "line", "exit_code"),
    [
        (
            error_status(C.ABORTED, ErrorReason.ERROR_REASON_ETAG_MISMATCH),
            "sale lamps: has changed since its etag was read; run it again with the same file, which begins by reading"
            " [ETAG_MISMATCH]",
            1,
        ),
        (
            error_status(C.FAILED_PRECONDITION, ErrorReason.ERROR_REASON_WRONG_SALE_STATE, state="SALE_STATE_CLOSED"),
            "sale lamps: is closed, which does not allow this [WRONG_SALE_STATE]",
            1,
        ),
        (
            unavailable(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, TOO_LONG_S),
            "sale lamps: it is unknown whether this was done; repeat it with the same ids (The sentence of the server.)"
            "; run it again with the same file, which begins by reading [OUTCOME_UNKNOWN]",
            3,
        ),
    ],
)
def test_a_failed_call_says_whether_to_run_it_again(
    fake: FakeInventory, tmp_path: Path, status: Any, line: str, exit_code: int
) -> None:
    """A new run is harmless; where the state does not allow the change, it would fail again."""
    will_find(fake, FOUND)
    fake.will_answer("UpdateSale", status)

    done = apply(fake, tmp_path, sale("title: B\n" + ITEMS))

    assert done.exit_code == exit_code
    assert done.stderr.splitlines()[-1] == f"holdfast: {line}"


def test_a_sale_that_cannot_be_read_ends_it_before_any_change(fake: FakeInventory, tmp_path: Path) -> None:
    """Only a sale that does not exist is made."""
    fake.will_answer("GetSale", MISSING, unavailable(ErrorReason.ERROR_REASON_LEDGER_UNREACHABLE, TOO_LONG_S))

    done = apply(fake, tmp_path, sale(ITEMS, "first"), sale(ITEMS))

    assert done.exit_code == 2
    assert sent(fake) == []
    assert "sale lamps: the server cannot answer now, and nothing was done" in done.stderr
