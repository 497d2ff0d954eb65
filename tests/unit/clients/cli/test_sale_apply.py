"""`holdfast sale apply`: what it finds to differ, what it sends, and in which order."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from holdfast.cli import ask_first
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse
from holdfast.inventory.v1.sale_pb2 import Item, Sale, SaleState

from tests.unit.clients.cli.applied_sales import (
    CLOSED,
    FOUND,
    ITEMS,
    MISSING,
    SAME,
    apply,
    changed,
    lines_of,
    sale,
    sent,
    will_find,
)
from tests.unit.clients.cli.command import NOON, run
from tests.unit.clients.fake_inventory import FakeInventory


def test_a_sale_that_is_missing_is_made_with_all_of_its_settings(fake: FakeInventory, tmp_path: Path) -> None:
    """In one call; what is null is sent as unset."""
    fake.will_answer("GetSale", MISSING)
    fake.will_answer("CreateSale", admin.CreateSaleResponse(sale=FOUND))

    done = apply(fake, tmp_path, sale(SAME + ITEMS))

    assert done.exit_code == 0, done.stderr
    items = [Item(sku="lamp", total=100, buyer_limit=2), Item(sku="shade", total=20)]
    made = Sale(
        sale_id="lamps",
        title="Lamps",
        start_time=NOON,
        end_time=NOON + timedelta(hours=2),
        hold_ttl=timedelta(minutes=10),
        return_window=timedelta(0),
        items=items,
    )
    assert sent(fake) == [admin.CreateSaleRequest(sale=made)]
    assert lines_of(done) == ["created lamps 2 items"]
    assert done.stderr == "1 sale: 1 created\n"


def test_a_sale_that_is_as_described_is_left_alone(fake: FakeInventory, tmp_path: Path) -> None:
    """However its moments and durations are written; null is what a server makes of a setting that is unset."""
    will_find(fake, FOUND)

    done = apply(fake, tmp_path, sale(SAME + ITEMS))

    assert done.exit_code == 0
    assert sent(fake) == []
    assert lines_of(done) == ["unchanged lamps"]


def test_settings_that_differ_are_sent_alone(fake: FakeInventory, tmp_path: Path) -> None:
    """With the etag of the read; null takes one away, and what the file does not name stays as it is."""
    will_find(fake, FOUND)
    fake.will_answer("UpdateSale", admin.UpdateSaleResponse(sale=FOUND))

    done = apply(fake, tmp_path, sale("title: Lamps\nhold_ttl: 1m30s\nend_time: ~\nbuyer_limit: 5000\n" + ITEMS))

    assert done.exit_code == 0, done.stderr
    wanted = Sale(sale_id="lamps", etag="e-1", hold_ttl=timedelta(seconds=90), buyer_limit=5000)
    mask = FieldMask(paths=["end_time", "hold_ttl", "buyer_limit"])
    assert sent(fake) == [admin.UpdateSaleRequest(sale=wanted, update_mask=mask)]
    assert lines_of(done) == [
        "changed lamps end_time: 2026-11-27T14:00:00Z -> none",
        "changed lamps hold_ttl: 10m -> 1m30s",
        "changed lamps buyer_limit: 0 -> 5,000",
    ]


def test_what_the_file_leaves_out_of_a_sale_that_is_there_stays(fake: FakeInventory, tmp_path: Path) -> None:
    """Its items too, and the total of an item that the file names."""
    will_find(fake, FOUND, FOUND)
    fake.will_answer("PauseSale", admin.PauseSaleResponse(sale=FOUND))

    apply(fake, tmp_path, sale("state: paused\n"))
    done = apply(fake, tmp_path, sale("items: [{sku: lamp, buyer_limit: 2}]\n"), words=["--stock"])

    assert [type(request) for request in sent(fake)] == [admin.PauseSaleRequest]
    assert (done.exit_code, lines_of(done)[1:]) == (0, ["left alone lamps item shade: is not in the file"])


@pytest.mark.parametrize(
    ("text", "found", "lacks"),
    [
        ("state: open\n", MISSING, "there is none yet, and the file has no items of it"),
        (
            "items: [{sku: lamp}, {sku: bulb, total: 1}]\n",
            MISSING,
            "item lamp: there is none yet, and the file has no total of it",
        ),
        (
            "items: [{sku: lamp}, {sku: bulb}]\n",
            GetSaleResponse(sale=FOUND),
            "item bulb: there is none yet, and the file has no total of it",
        ),
    ],
)
def test_what_is_to_be_made_needs_its_units(
    fake: FakeInventory, tmp_path: Path, text: str, found: Any, lacks: str
) -> None:
    """Whether it is there only a server can say, and then nothing is done."""
    fake.will_answer("GetSale", found)

    failed = apply(fake, tmp_path, sale(text))

    assert (failed.exit_code, sent(fake)) == (1, [])
    assert f"nothing was done: sale lamps: {lacks}" in failed.stderr


def test_items_are_added_with_the_settings_and_none_is_taken_away(fake: FakeInventory, tmp_path: Path) -> None:
    """In one call, so that it is done as a whole or not at all."""
    will_find(fake, FOUND)
    fake.will_answer("UpdateSale", admin.UpdateSaleResponse(sale=FOUND))

    done = apply(
        fake, tmp_path, sale("buyer_limit: 9\nitems: [{sku: lamp, total: 100}, {sku: bulb, total: 5, buyer_limit: 1}]")
    )

    bulb = Item(sku="bulb", total=5, buyer_limit=1)
    wanted = Sale(sale_id="lamps", etag="e-1", buyer_limit=9, items=[bulb])
    assert sent(fake) == [admin.UpdateSaleRequest(sale=wanted, update_mask=FieldMask(paths=["buyer_limit", "items"]))]
    assert lines_of(done)[1:] == [
        "added lamps item bulb: 5 units",
        "left alone lamps item shade: is not in the file",
    ]


def test_totals_are_left_alone_without_stock(fake: FakeInventory, tmp_path: Path) -> None:
    """They follow deliveries and discarded returns, which no file knows; and that is no difference for --check."""
    will_find(fake, *[FOUND] * 2)
    text = sale("items: [{sku: lamp, total: 120}, {sku: shade, total: 20}]")

    done, checked = (apply(fake, tmp_path, text, words=words) for words in ((), ("--check",)))

    assert done.exit_code == checked.exit_code == 0
    assert sent(fake) == []
    assert lines_of(done)[1] == "left alone lamps item lamp: has a total of 100, not 120: --stock changes it"


def test_totals_are_set_with_stock_where_they_are_as_read(fake: FakeInventory, tmp_path: Path) -> None:
    """Under an id that is new in each run: one that is made of the totals would repeat an old adjustment."""
    text = sale("items: [{sku: lamp, total: 120}, {sku: shade, total: 20}]")
    for _ in range(2):
        will_find(fake, FOUND)
        fake.will_answer("AdjustStock", admin.AdjustStockResponse())

    done, _ = (apply(fake, tmp_path, text, words=("--stock", "--reason", "delivery 7")) for _ in range(2))

    first, second = (request for request in fake.asked if isinstance(request, admin.AdjustStockRequest))
    assert (first.sku, first.new_total, first.expected_total, first.reason) == ("lamp", 120, 100, "delivery 7")
    assert first.adjustment_id != second.adjustment_id
    assert lines_of(done) == ["adjusted lamps item lamp: total 100 -> 120"]


@pytest.mark.parametrize(
    ("text", "found", "kinds"),
    [
        ("state: paused\nbuyer_limit: 1\n", {}, ["PauseSale", "UpdateSale"]),
        ("state: open\nbuyer_limit: 1\n", {"paused": True}, ["UpdateSale", "ResumeSale"]),
        ("state: closed\nbuyer_limit: 1\n", {"paused": True}, ["UpdateSale", "CloseSale"]),
        ("buyer_limit: 1\n", {"paused": True}, ["UpdateSale"]),
        ("state: closed\n", {"state": CLOSED, "paused": True}, []),
        ("state: closed\n", {"state": SaleState.SALE_STATE_ARCHIVED}, []),
    ],
)
def test_a_sale_pauses_first_and_resumes_or_closes_last(
    fake: FakeInventory, tmp_path: Path, text: str, found: dict[str, Any], kinds: list[str]
) -> None:
    """So it never sells under settings that were not meant; each call names the etag that the one before left."""
    will_find(fake, changed(**found))
    for number, kind in enumerate(kinds):
        response = getattr(admin, f"{kind}Response")
        fake.will_answer(kind, response(sale=Sale(sale_id="lamps", etag=f"e-{number + 2}")))

    done = apply(fake, tmp_path, sale(text + ITEMS), words=("--yes",))

    assert done.exit_code == 0, done.stderr
    assert [type(request).__name__ for request in sent(fake)] == [f"{kind}Request" for kind in kinds]
    etags = [request.sale.etag if hasattr(request, "sale") else request.etag for request in sent(fake)]
    assert etags == [f"e-{number + 1}" for number in range(len(kinds))]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("state: closed\n" + ITEMS, "Close sale lamps for good: do it?"),
        ("items: [{sku: lamp, total: 90}]\n", "Lower item lamp of sale lamps from 100 to 90: do it?"),
    ],
)
def test_what_destroys_is_asked_before_anything_is_sent(
    fake: FakeInventory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, question: str
) -> None:
    """Of all sales at once; without a terminal it needs --yes."""
    for _ in range(3):
        will_find(fake, FOUND, FOUND)
    fake.will_answer("CloseSale", admin.CloseSaleResponse())
    fake.will_answer("AdjustStock", admin.AdjustStockResponse())
    fake.will_answer("UpdateSale", *[admin.UpdateSaleResponse()] * 2)
    both = (sale("title: First\n" + ITEMS, "first"), sale(text))

    refused = apply(fake, tmp_path, *both, words=("--stock",))
    monkeypatch.setattr(ask_first, "is_terminal", lambda: True)
    (tmp_path / "sales.yaml").write_text("sales:\n" + "".join(both))
    declined = run(fake, "sale", "apply", str(tmp_path / "sales.yaml"), "--stock", typed="n\n")
    assert sent(fake) == []
    done = run(fake, "sale", "apply", str(tmp_path / "sales.yaml"), "--stock", typed="y\n")

    assert (refused.exit_code, declined.exit_code, done.exit_code) == (2, 2, 0)
    assert f"{question} If so, add --yes" in refused.stderr
    assert question in declined.stderr
    assert len(sent(fake)) == 2


def test_a_check_sends_nothing_and_is_exit_code_1_if_anything_differs(fake: FakeInventory, tmp_path: Path) -> None:
    """It shows what apply would do, and what it could not."""
    fake.will_answer("GetSale", MISSING, *(GetSaleResponse(sale=each) for each in (FOUND, FOUND)))
    other_limit = "state: closed\nitems: [{sku: lamp, total: 90, buyer_limit: 5}, {sku: shade, total: 20}]"
    sales = (sale(ITEMS, "first"), sale(other_limit), sale(ITEMS, "third"))

    done = apply(fake, tmp_path, *sales, words=("--check", "--stock"))

    assert done.exit_code == 1
    assert sent(fake) == []
    assert lines_of(done) == [
        "to create first 2 items",
        "to adjust lamps item lamp: total 100 -> 90",
        "to close lamps state: open -> closed",
        "cannot change lamps item lamp: its buyer_limit is 2, not 5, and is never changed",
        "unchanged third",
    ]
    assert done.stderr == "3 sales: 1 missing, 1 differs, 1 unchanged\n"


def test_a_check_that_finds_nothing_is_exit_code_0(fake: FakeInventory, tmp_path: Path) -> None:
    """For a pipeline that watches over drift; items that the file does not name are no difference."""
    will_find(fake, FOUND)

    done = apply(fake, tmp_path, sale("items: [{sku: lamp, total: 100}]"), words=("--check", "--json"))

    assert done.exit_code == 0
    [one] = json.loads(done.stdout)["sales"]
    assert one == {
        "sale_id": "lamps",
        "result": "unchanged",
        "changes": [],
        "cannot_change": [],
        "left_alone": ["item shade: is not in the file"],
    }
