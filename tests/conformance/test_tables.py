"""Every cell of the two tables of the API, state by move and state by operation, on both servers: one answer, alike."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from tests.conformance.both import Both
from tests.conformance.servers import Double, Processes

LAMPS = [Line(sku="lamp", quantity=2)]
HOUR = Duration(seconds=3600)
ONE_LAMP = [Line(sku="lamp", quantity=1)]
# How a call is answered: OK, as it stood already (R), of an ended one (END), or the reason of its failure.
NF, FP = "RESERVATION_NOT_FOUND", "WRONG_RESERVATION_STATE"
REUSED, CO, MH, MS = "RESERVATION_ID_REUSED", "CONFIRMED_OTHERWISE", "MORE_THAN_HELD", "MORE_THAN_SOLD"
MOVES = (
    *("reserve", "reserve otherwise", "confirm", "confirm one", "confirm three", "release", "extend", "change"),
    *("return all", "return one", "return three"),
)
TABLE = {
    "none": ("OK", "OK", NF, NF, NF, NF, NF, NF, NF, NF, NF),
    "HELD": ("R", REUSED, "OK", "OK", MH, "OK", "OK", "OK", FP, FP, FP),
    "CONFIRMED": ("R", REUSED, "R", CO, CO, FP, FP, FP, "OK", "OK", MS),
    "one of two CONFIRMED": ("R", REUSED, CO, "R", CO, FP, FP, FP, "OK", "OK", MS),
    "one of two back": ("R", REUSED, "R", CO, CO, FP, FP, FP, "OK", "R", MS),
    "RETURNED": ("END", REUSED, FP, FP, FP, "R", FP, FP, "R", "R", MS),
    "RELEASED": ("END", REUSED, FP, FP, FP, "R", FP, FP, FP, FP, FP),
    "spent": ("END", "END", FP, FP, FP, "R", FP, FP, FP, FP, FP),
    "EXPIRED": ("END", REUSED, FP, FP, FP, "R", FP, FP, FP, FP, FP),
    "COMPENSATED": ("END", REUSED, FP, FP, FP, "R", FP, FP, FP, FP, FP),
}
WRONG = "WRONG_SALE_STATE"
OPERATIONS = ("pause", "resume", "close", "close and release", "title", "same title", "start_time", "adjust")
SALE_TABLE = {
    "SCHEDULED": ("OK", "R", "OK", "OK", "OK", "R", "OK", "OK"),
    "OPEN": ("OK", "R", "OK", "OK", "OK", "R", WRONG, "OK"),
    "PAUSED": ("R", "OK", "OK", "OK", "OK", "R", WRONG, "OK"),
    "ENDED": ("OK", "R", "OK", "OK", "OK", "R", WRONG, "OK"),
    "CLOSED": (WRONG, WRONG, "R", "OK", WRONG, "R", WRONG, "OK"),
}


async def test_every_move_from_every_state(double: Double, processes: Processes) -> None:
    """Each cell has a reservation of its own."""
    prefix = f"t{os.getpid()}-"
    both, sale_id, refused = Both(double, processes, prefix), f"{prefix}moves", f"{prefix}rob"
    await both.ask("CreateSale", admin.CreateSaleRequest(sale=_sale(sale_id, max_hold_ttl=HOUR)))
    for server in (double, processes):
        await server.refuse_buyer(refused)
    cells = [(state, move) for state in TABLE for move in MOVES]
    for state, move in cells:
        for method, request in _to_state(state, sale_id, _name(state, move), refused):
            await both.ask(method, request)
    await both.pass_time(timedelta(seconds=1.01))
    await both.recorded([(sale_id, _name("COMPENSATED", move)) for move in MOVES])

    found: dict[str, list[str]] = {state: [] for state in TABLE}
    for state, move in cells:
        buyer = refused if state == "COMPENSATED" else f"{prefix}ann"
        ttl = 1 if state == "EXPIRED" else 0
        answer = await both.ask(*_move(move, sale_id, _name(state, move), buyer, ttl))
        found[state].append(_kind_of(answer))

    assert {state: tuple(row) for state, row in found.items()} == TABLE


async def test_every_operation_in_every_state_of_a_sale(double: Double, processes: Processes) -> None:
    """Each cell has a sale of its own."""
    prefix = f"o{os.getpid()}-"
    both, now = Both(double, processes, prefix), datetime.now(UTC).replace(microsecond=0)
    cells = [(state, operation) for state in SALE_TABLE for operation in OPERATIONS]
    for state, operation in cells:
        sale_id = prefix + _name(state, operation)
        for method, request in _to_sale_state(state, sale_id, now):
            await both.ask(method, request)

    found: dict[str, list[str]] = {state: [] for state in SALE_TABLE}
    for state, operation in cells:
        answer = await both.ask(*_operation(operation, prefix + _name(state, operation), now))
        found[state].append(_kind_of(answer))

    assert {state: tuple(row) for state, row in found.items()} == SALE_TABLE


def _sale(sale_id: str, **settings: Any) -> Sale:
    return Sale(sale_id=sale_id, items=[Item(sku="lamp", total=1000)], **settings)


def _name(*parts: str) -> str:
    return "-".join(parts).replace(" ", "_")


def _reserve(sale_id: str, id: str, buyer: str, lines: list[Line], ttl_s: int) -> calls.ReserveRequest:
    request = calls.ReserveRequest(sale_id=sale_id, reservation_id=id, buyer_id=buyer, lines=lines)
    if ttl_s:
        request.hold_ttl.seconds = ttl_s
    return request


def _to_state(state: str, sale_id: str, id: str, refused: str) -> list[tuple[str, Message]]:
    """The calls that bring a reservation of two lamps into a state."""
    name: Any = {"sale_id": sale_id, "reservation_id": id}
    buyer = refused if state == "COMPENSATED" else refused.replace("rob", "ann")
    held = "Reserve", _reserve(sale_id, id, buyer, LAMPS, 1 if state == "EXPIRED" else 0)
    part: Any = {"lines": ONE_LAMP}
    sold = "ConfirmReservation", calls.ConfirmReservationRequest(**name)
    return {
        "none": [],
        "CONFIRMED": [held, sold],
        "one of two CONFIRMED": [held, ("ConfirmReservation", calls.ConfirmReservationRequest(**name, partial=part))],
        "one of two back": [
            *(held, sold),
            ("ReturnReservation", calls.ReturnReservationRequest(**name, reason="so", lines=ONE_LAMP)),
        ],
        "RETURNED": [held, sold, ("ReturnReservation", calls.ReturnReservationRequest(**name, reason="so"))],
        "RELEASED": [held, ("ReleaseReservation", calls.ReleaseReservationRequest(**name))],
        "spent": [("ReleaseReservation", calls.ReleaseReservationRequest(**name, spend_id=True))],
    }.get(state, [held])  # type: ignore[return-value]  # a list of pairs, each with a request of its own kind


def _move(move: str, sale_id: str, id: str, buyer: str, ttl_s: int) -> tuple[str, Message]:
    name: Any = {"sale_id": sale_id, "reservation_id": id}
    three = [Line(sku="lamp", quantity=3)]
    lines = {"one": ONE_LAMP, "three": three}.get(move.partition(" ")[2], [])
    part: Any = {"partial": {"lines": lines}} if lines else {}
    match move.partition(" ")[0]:
        case "reserve":
            return "Reserve", _reserve(sale_id, id, buyer, three if "otherwise" in move else LAMPS, ttl_s)
        case "confirm":
            return "ConfirmReservation", calls.ConfirmReservationRequest(**name, **part)
        case "release":
            return "ReleaseReservation", calls.ReleaseReservationRequest(**name)
        case "extend":
            return "ExtendReservation", calls.ExtendReservationRequest(**name, hold_ttl=HOUR)
        case "change":
            return "ChangeReservation", calls.ChangeReservationRequest(**name, lines=ONE_LAMP)
        case _:
            return "ReturnReservation", calls.ReturnReservationRequest(**name, reason="so", lines=lines)


def _to_sale_state(state: str, sale_id: str, now: datetime) -> list[tuple[str, Message]]:
    """The calls that make a sale of this state."""
    times: dict[str, Any] = {
        "SCHEDULED": {"start_time": now + timedelta(days=1)},
        "ENDED": {"start_time": now - timedelta(days=2), "end_time": now - timedelta(hours=1)},
    }
    make = admin.CreateSaleRequest(sale=_sale(sale_id, title="lamps", **times.get(state, {})))
    after: dict[str, tuple[str, Message]] = {
        "PAUSED": ("PauseSale", admin.PauseSaleRequest(sale_id=sale_id)),
        "CLOSED": ("CloseSale", admin.CloseSaleRequest(sale_id=sale_id)),
    }
    return [("CreateSale", make), *([after[state]] if state in after else [])]


def _operation(operation: str, sale_id: str, now: datetime) -> tuple[str, Message]:
    name: Any = {"sale_id": sale_id}
    match operation:
        case "pause":
            return "PauseSale", admin.PauseSaleRequest(**name)
        case "resume":
            return "ResumeSale", admin.ResumeSaleRequest(**name)
        case "close" | "close and release":
            return "CloseSale", admin.CloseSaleRequest(**name, release_holds="release" in operation)
        case "adjust":
            more: Any = {"sku": "lamp", "adjustment_id": "a-1", "delta": 1, "reason": "found"}
            return "AdjustStock", admin.AdjustStockRequest(**name, **more)
        case "start_time":
            sale = Sale(**name, start_time=now + timedelta(hours=1))
            return "UpdateSale", admin.UpdateSaleRequest(sale=sale, update_mask={"paths": ["start_time"]})
        case _:
            sale = Sale(**name, title="lamps" if operation == "same title" else "more lamps")
            return "UpdateSale", admin.UpdateSaleRequest(sale=sale, update_mask={"paths": ["title"]})


def _kind_of(answer: list[str]) -> str:
    """How a call was answered, in the table's words."""
    reasons = [line.split('"')[1] for line in answer if line.startswith('reason: "ERROR_REASON_')]
    if reasons:
        return reasons[0].removeprefix("ERROR_REASON_")
    if any("REJECTION_REASON_RESERVATION_ENDED" in line for line in answer):
        return "END"
    return "R" if "replayed: true" in answer else "OK"
