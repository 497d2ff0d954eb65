"""New processes on what the ones before left behind: they serve, keep what was told, and go on selling."""

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

from tests.inventory_server import calling
from tests.ledger_rows import DeadLetter
from tests.stack_fixture import StackFixture, Stock
from tests.stacks import running_stack
from tests.upgrade.record import SHARDS, record

pytestmark = pytest.mark.timeout(400)  # the first test also records, and starts its stacks

# What lies in the recorded sales beside what is told of each reservation (see record.py).
REFUSED_MEANWHILE = {"open", "open-bought"}
CHANGING = ("ledgerState", "position", "updateTime", "revision", "expireTime", "note", "compensationReason")


class Upgraded(NamedTuple):
    """A stack on recorded data, and what callers had been told before."""

    stack: Stack
    said: dict[str, Any]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what this version leaves behind and what its callers were told."""
    folder = tmp_path_factory.mktemp("recorded")
    for name, text in asyncio.run(record(tmp_path_factory.mktemp("recording"))).items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def upgraded(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """A stack that was started on recorded data and has caught up with it."""
    specs = ProgramSpecs(migrate=ProgramSpec("put-back", ("-m", "tests.upgrade.put_back", str(recorded))))
    with running_stack(tmp_path_factory.mktemp("upgraded"), print, specs, HOLDFAST_SHARDS=SHARDS) as stack:
        yield Upgraded(stack, json.loads((recorded / "answers.json").read_text()))


@pytest.fixture
async def shop(upgraded: Upgraded) -> AsyncIterator[StackFixture]:
    """The upgraded stack, once all that was under way has come to its end, which a new commit in each shard shows."""
    async with calling(upgraded.stack.addresses.listen) as caller:
        shop = StackFixture(upgraded.stack, caller, [])
        for shard in range(upgraded.stack.shards):
            await shop.settled(await shop.open_sale(shard=shard))
        yield shop


async def test_what_callers_were_told_stands(upgraded: Upgraded, shop: StackFixture) -> None:
    """Promise 2, over a deploy: what was sold is sold, what was given back is free, what is overdue is taken back."""
    for sale_id, told in upgraded.said.items():
        for reservation_id, before in told["reservations"].items():
            after = MessageToDict(await shop.get(sale_id, reservation_id))
            assert lasting(after) == lasting(before) | {"state": expected_state(reservation_id, before)}


async def test_what_was_refused_is_given_back(shop: StackFixture) -> None:
    """The dead letters were open, and their compensations come again; the new processes close them."""
    letters = {letter.reservation_id: letter for letter in await shop.ledger.letters("lamps")}

    for reservation_id in REFUSED_MEANWHILE:
        assert letters[reservation_id] == DeadLetter(
            reservation_id, "BUYER_BLOCKED", "SETTLED", "COMPENSATED", compensation_done=True
        )


async def test_an_order_of_which_the_dead_letter_alone_knows_is_still_told(shop: StackFixture) -> None:
    """It can have no row in the ledger, and Redis archived it before the deploy."""
    assert await shop.ledger.row("lamps", "poison") is None

    found = await shop.get("lamps", "poison")

    assert (found.state, found.ledger_state) == (states.RESERVATION_STATE_COMPENSATED, states.LEDGER_STATE_REFUSED)
    assert found.compensation_reason == states.COMPENSATION_REASON_CONSTRAINT_VIOLATED
    assert found.update_time.ToMilliseconds() >= found.create_time.ToMilliseconds() > 0


async def test_it_goes_on_selling(upgraded: Upgraded, shop: StackFixture) -> None:
    """Promise 1, over a deploy: a repeat takes nothing, and exactly what was left is sold."""
    repeated = await shop.reserve("late", "bought")
    before = await shop.stock("late")

    answers = [await shop.reserve("late", f"new-{number}") for number in range(3)]
    await shop.settled("late")

    assert (repeated.replayed, repeated.reservation.state) == (True, states.RESERVATION_STATE_CONFIRMED)
    assert before == Stock(available=2, held=0, sold=1)
    assert [answer.HasField("reservation") for answer in answers] == [True, True, False]
    assert answers[2].rejection.reason == states.REJECTION_REASON_SOLD_OUT
    assert await shop.stock("late") == Stock(available=0, held=0, sold=3)


async def test_the_books_agree(shop: StackFixture) -> None:
    """Promise 4, over a deploy: the journal is whole from the first recorded commit to the last new one."""
    await shop.reserve("chairs", "after", {"chair": 1}, buyer_id="eve")
    await shop.confirm("chairs", "after")
    await shop.settled("chairs")

    audit = await shop.run("audit", "--json")

    assert audit.code == 0, audit.said + audit.complained
    assert json.loads(audit.said)["consistent"]


def expected_state(reservation_id: str, before: dict[str, Any]) -> str:
    """What has become of a reservation since it was recorded: refusals were carried out, and time has passed."""
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


def lasting(told: dict[str, Any]) -> dict[str, Any]:
    """What is told of a reservation, without what a deploy or time may change."""
    lines = [(line["sku"], line["quantity"]) for line in told["lines"]]
    return {name: value for name, value in told.items() if name not in CHANGING} | {"lines": lines}
