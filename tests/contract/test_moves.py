"""The table of states and moves, cell by cell, on each implementation."""

from collections.abc import Awaitable, Callable

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import RejectionReason, ReservationState

from inventory_service.domain.keys import Position
from inventory_service.domain.ports import ExpireStep
from inventory_service.domain.results import Failure, Granted, Rejected, ReservationRead
from tests.contract.requests import MINUTE_MS, SALE, compensate, confirm, create, release, reserve, spend
from tests.contract.shards import ShardUnderTest
from tests.sales import make_sale

ID = "r-1"
NOWHERE = Position(0, 1, 999, 0)

# A cell is the state that the move leads to, or else a result, for which nothing is written. R: the same reservation
# again, replayed. END: RESERVATION_ENDED. FP, AE, NF: a failure. `-`: nothing to do.
TABLE = """
             reserve  reserve-other  confirm    release   spend     expire   compensate
none         HELD     HELD           NF         NF        RELEASED  -        -
HELD         R        AE             CONFIRMED  RELEASED  RELEASED  -        COMPENSATED
CONFIRMED    R        AE             R          FP        FP        -        COMPENSATED
RELEASED     END      AE             FP         R         R         -        -
SPENT        END      END            FP         R         R         -        -
EXPIRED      END      AE             FP         R         R         -        -
OVERDUE      END      AE             FP         R         R         EXPIRED  -
COMPENSATED  END      AE             FP         R         R         -        -
"""


def cells() -> list[tuple[str, str, str]]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [(row[0], move, cell) for row in rows for move, cell in zip(header, row[1:], strict=True)]


async def bring_to(shard: ShardUnderTest, state: str) -> Position:
    """Bring the reservation to a state by the moves that lead there; returns its creation position."""
    await make_sale(shard.stock, create())
    if state in ("none", "SPENT"):
        if state == "SPENT":
            await shard.stock.move(spend(ID))
            return Position(0, 1, 2, 0)
        return NOWHERE
    held = await shard.stock.reserve(reserve(ID))
    assert isinstance(held, Granted)
    if state in ("OVERDUE", "EXPIRED"):
        await shard.tick(10 * MINUTE_MS)
    last_moves: dict[str, Callable[[], Awaitable[object]]] = {
        "CONFIRMED": lambda: shard.stock.move(confirm(ID)),
        "RELEASED": lambda: shard.stock.move(release(ID)),
        "EXPIRED": lambda: shard.stock.expire(0),
        "COMPENSATED": lambda: shard.stock.compensate(compensate(ID, held.reservation.created)),
    }
    if state in last_moves:
        await last_moves[state]()
    return held.reservation.created


async def make(shard: ShardUnderTest, move: str, created: Position) -> object:
    moves: dict[str, Callable[[], Awaitable[object]]] = {
        "reserve": lambda: shard.stock.reserve(reserve(ID)),
        "reserve-other": lambda: shard.stock.reserve(reserve(ID, lamp=2)),
        "confirm": lambda: shard.stock.move(confirm(ID)),
        "release": lambda: shard.stock.move(release(ID)),
        "spend": lambda: shard.stock.move(spend(ID)),
        "expire": lambda: shard.stock.expire(0),
        "compensate": lambda: shard.stock.compensate(compensate(ID, created)),
    }
    return await moves[move]()


async def state_of(shard: ShardUnderTest) -> str:
    found = await shard.stock.find_reservation(SALE, ID)
    return ReservationState.Name(found.reservation.state)[18:] if isinstance(found, ReservationRead) else "none"


def word_for(answer: object) -> str:
    """The table's word for a result."""
    match answer:
        case Granted(replayed=True):
            return "R"
        case Granted(reservation=reservation) | ReservationRead(reservation=reservation):
            return ReservationState.Name(reservation.state)[18:]
        case Rejected(reason=reason):
            rejections: dict[int, str] = {RejectionReason.REJECTION_REASON_RESERVATION_ENDED: "END"}
            return rejections[reason]
        case Failure(reason=reason):
            failures: dict[int, str] = {
                ErrorReason.ERROR_REASON_RESERVATION_ID_REUSED: "AE",
                ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND: "NF",
                ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE: "FP",
            }
            return failures[reason]
    raise AssertionError(f"no word for {answer}")


@pytest.mark.parametrize(("state", "move", "cell"), cells())
async def test_a_move_has_the_outcome_of_the_table(shard: ShardUnderTest, state: str, move: str, cell: str) -> None:
    """Promise 3: every reservation ends once; a move that changes nothing writes nothing."""
    created = await bring_to(shard, state)
    state_before, kept_before, commits_before = (
        await state_of(shard),
        await shard.contents(),
        len(await shard.commits()),
    )

    answer = await make(shard, move, created)

    if cell == state_or_end(cell):
        assert await state_of(shard) == cell
        assert len(await shard.commits()) == commits_before + 1
    else:
        assert await state_of(shard) == state_before
        assert await shard.contents() == kept_before
    if move == "expire":
        assert answer == ExpireStep(int(cell != "-"), more_is_due=False)
    elif move == "compensate":
        assert answer == (cell != "-")
    else:
        assert word_for(answer) == cell


def state_or_end(cell: str) -> str | None:
    """The state that a cell leads to, if it names one."""
    return cell if cell in ("HELD", "CONFIRMED", "RELEASED", "EXPIRED", "COMPENSATED") else None


@pytest.mark.parametrize("state", ["HELD", "CONFIRMED"])
async def test_a_compensation_changes_only_the_reservation_of_its_creation_position(
    shard: ShardUnderTest, state: str
) -> None:
    """A late repeat must not compensate a newer reservation of the same id."""
    created = await bring_to(shard, state)
    kept = await shard.contents()

    for wrong in (created._replace(seq=1), created._replace(index=7), created._replace(epoch=2)):
        assert await shard.stock.compensate(compensate(ID, wrong)) is False

    assert await shard.contents() == kept


async def test_a_wrong_state_failure_has_the_reservation_as_it_stands(shard: ShardUnderTest) -> None:
    """A caller that was too late need not read the reservation."""
    await bring_to(shard, "OVERDUE")

    answer = await shard.stock.move(confirm(ID))

    assert isinstance(answer, Failure)
    assert answer.metadata == {"state": "RESERVATION_STATE_EXPIRED"}
    assert answer.reservation is not None
    assert ReservationState.Name(answer.reservation.state) == "RESERVATION_STATE_EXPIRED"
