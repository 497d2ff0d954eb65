"""New processes on the recorded data of earlier ones: they serve, keep every reservation, and go on selling."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf.json_format import MessageToDict
from holdfast.inventory.v1 import reservation_pb2 as states
from holdfast_embedded.program import ProgramSpec, ProgramSpecs
from holdfast_embedded.stack import Stack

from tests.ledger_rows import DeadLetter
from tests.repeated_calls import calling_until_answered
from tests.stack_fixture import StackFixture, Stock
from tests.stacks import running_stack
from tests.upgrade.record import ADJUSTMENT, SHARDS, record

pytestmark = pytest.mark.timeout(400)  # the first test also records, and starts its stacks

# Reservations that change after the recording, and the fields that may (see record.py).
REFUSED_MEANWHILE = {"open", "open-bought"}
CHANGING = ("ledgerState", "position", "updateTime", "revision", "expireTime", "note", "compensationReason")


class Upgraded(NamedTuple):
    """A stack on recorded data, and the responses from before."""

    stack: Stack
    answers: dict[str, Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of this version's data and responses."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, text in asyncio.run(record(tmp_path_factory.mktemp("recording"))).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def upgraded(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A stack that was started on recorded data and has caught up with it."""
    specs = ProgramSpecs(migrate=ProgramSpec("load", ("-m", "tests.upgrade.load", str(recorded))))
    with running_stack(tmp_path_factory.mktemp("upgraded"), print, specs, HOLDFAST_SHARDS=SHARDS) as stack:
        yield Upgraded(stack, json.loads((recorded / "answers.json").read_text()))


@pytest.fixture
async def fixture(upgraded: Upgraded) -> AsyncIterator[StackFixture]:
    """The upgraded stack, once a new commit in each shard is settled, and with it everything before it."""
    async with calling_until_answered(upgraded.stack.addresses.listen) as caller:
        fixture = StackFixture(upgraded.stack, caller, [])
        for shard in range(upgraded.stack.shards):
            await fixture.settled(await fixture.open_sale(shard=shard))
        yield fixture


async def test_acknowledged_reservations_keep_their_state(upgraded: Upgraded, fixture: StackFixture) -> None:
    """Promise 2, over a deploy: what was sold is sold, what was given back is free, what is overdue is expired."""
    for sale_id, recorded_sale in upgraded.answers.items():
        for reservation_id, before in recorded_sale["reservations"].items():
            after = MessageToDict(await fixture.get(sale_id, reservation_id))
            assert unchanging_fields(after) == unchanging_fields(before) | {
                "state": expected_state(reservation_id, before)
            }


async def test_open_compensations_are_completed(fixture: StackFixture) -> None:
    """The dead letters were open, and their compensations are sent again; the new processes complete them."""
    dead_letters = {
        dead_letter.reservation_id: dead_letter for dead_letter in await fixture.ledger.dead_letters("lamps")
    }

    for reservation_id in REFUSED_MEANWHILE:
        assert dead_letters[reservation_id] == DeadLetter(
            reservation_id, "BUYER_BLOCKED", "SETTLED", "COMPENSATED", compensation_done=True
        )


async def test_an_order_with_only_a_dead_letter_is_still_found(fixture: StackFixture) -> None:
    """It can have no row in the ledger, and Redis archived it before the deploy."""
    assert await fixture.ledger.row("lamps", "poison") is None

    found = await fixture.get("lamps", "poison")

    assert (found.state, found.ledger_state) == (states.RESERVATION_STATE_COMPENSATED, states.LEDGER_STATE_REFUSED)
    assert found.compensation_reason == states.COMPENSATION_REASON_CONSTRAINT_VIOLATED
    assert found.update_time.ToMilliseconds() >= found.create_time.ToMilliseconds() > 0


async def test_what_operators_did_stands(upgraded: Upgraded, fixture: StackFixture) -> None:
    """A repeated adjustment hears what it did, and a closed sale is as it was."""
    repeated = await fixture.caller.admin.AdjustStock(ADJUSTMENT)
    closed = MessageToDict(await fixture.sale("closed"))

    assert (repeated.replayed, repeated.adjustment.delta, repeated.item.total) == (True, 1, 6)
    assert closed == upgraded.answers["closed"]["sale"]


async def test_the_sale_continues(upgraded: Upgraded, fixture: StackFixture) -> None:
    """Promise 1, over a deploy: a repeat takes nothing, and exactly what was left is sold."""
    repeated = await fixture.reserve("late", "bought")
    before = await fixture.stock("late")

    answers = [await fixture.reserve("late", f"new-{number}") for number in range(3)]
    await fixture.settled("late")

    assert (repeated.replayed, repeated.reservation.state) == (True, states.RESERVATION_STATE_CONFIRMED)
    assert before == Stock(available=2, held=0, sold=1)
    assert [answer.HasField("reservation") for answer in answers] == [True, True, False]
    assert answers[2].rejection.reason == states.REJECTION_REASON_SOLD_OUT
    assert await fixture.stock("late") == Stock(available=0, held=0, sold=3)


async def test_the_audit_finds_no_difference(fixture: StackFixture) -> None:
    """Promise 4, over a deploy: the journal is whole from the first recorded commit to the last new one."""
    await fixture.reserve("chairs", "after", {"chair": 1}, buyer_id="eve")
    await fixture.confirm("chairs", "after")
    await fixture.settled("chairs")

    audit = await fixture.run("audit", "--json")

    assert audit.code == 0, audit.stdout + audit.stderr
    assert json.loads(audit.stdout)["consistent"]


def expected_state(reservation_id: str, before: dict[str, Any]) -> str:
    """The state of a reservation since it was recorded: refused orders are compensated, and holds expire."""
    if reservation_id in REFUSED_MEANWHILE:
        return "RESERVATION_STATE_COMPENSATED"
    state: str = before["state"]
    if state == "RESERVATION_STATE_HELD" and is_past(before["expireTime"]):
        return "RESERVATION_STATE_EXPIRED"
    return state


def is_past(time: str) -> bool:
    """Whether a moment is over."""
    moment = datetime.fromisoformat(time)
    return moment < datetime.now(moment.tzinfo)


def unchanging_fields(reservation: dict[str, Any]) -> dict[str, Any]:
    """The fields of a reservation that neither a deploy nor time may change."""
    lines = [(line["sku"], line["quantity"]) for line in reservation["lines"]]
    return {name: value for name, value in reservation.items() if name not in CHANGING} | {"lines": lines}
