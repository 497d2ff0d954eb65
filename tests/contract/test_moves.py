"""The table of states and moves, cell by cell, on each implementation."""

from collections.abc import Awaitable, Callable

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import RejectionReason, ReservationState

from inventory_service.domain.archive import move_archived
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Move, Step
from inventory_service.domain.ports import ExpireStep
from inventory_service.domain.results import Failure, Granted, Rejected, ReservationRead
from tests.contract.requests import (
    MINUTE_MS,
    SALE,
    change,
    compensate,
    confirm,
    extend,
    give_back,
    release,
    reserve,
    spend,
)
from tests.contract.results import reason_of
from tests.contract.shards import InMemoryShard, ShardUnderTest
from tests.contract.states import ID, bring_to

STATES = ("HELD", "CONFIRMED", "RELEASED", "EXPIRED", "COMPENSATED", "RETURNED")

# A cell is the state that the move leads to, or else a result, for which nothing is written. R: the same reservation
# again, replayed. END: RESERVATION_ENDED. LESS: INSUFFICIENT_STOCK. FP, AE, NF, CO, MH, MS: a failure. `-`: nothing to
# do. The reservation claims two lamps and a shade; PARTLY-SOLD owns one lamp, PARTLY-BACK gave one of its two lamps
# back. OVERDUE is held and past its end; CLOSED is held in a sale that was closed with a release of its holds, and its
# units are not back yet.
TABLE = """
             reserve  reserve-other  confirm    confirm-some  confirm-more  release   spend     extend  extend-less  change  change-equal  change-over  return    return-one  return-more  expire    compensate
none         HELD     HELD           NF         NF            NF            NF        RELEASED  NF      NF           NF      NF            NF           NF        NF          NF           -         -
HELD         R        AE             CONFIRMED  CONFIRMED     MH            RELEASED  RELEASED  HELD    R            HELD    R             LESS         FP        FP          FP           -         COMPENSATED
CONFIRMED    R        AE             R          CO            CO            FP        FP        FP      FP           FP      FP            FP           RETURNED  CONFIRMED   MS           -         COMPENSATED
PARTLY-SOLD  R        AE             CO         R             CO            FP        FP        FP      FP           FP      FP            FP           RETURNED  RETURNED    MS           -         COMPENSATED
PARTLY-BACK  R        AE             R          CO            CO            FP        FP        FP      FP           FP      FP            FP           RETURNED  R           MS           -         COMPENSATED
RETURNED     END      AE             FP         FP            FP            R         R         FP      FP           FP      FP            FP           R         R           MS           -         -
RELEASED     END      AE             FP         FP            FP            R         R         FP      FP           FP      FP            FP           FP        FP          FP           -         -
SPENT        END      END            FP         FP            FP            R         R         FP      FP           FP      FP            FP           FP        FP          FP           -         -
EXPIRED      END      AE             FP         FP            FP            R         R         FP      FP           FP      FP            FP           FP        FP          FP           -         -
OVERDUE      END      AE             FP         FP            FP            R         R         FP      FP           FP      FP            FP           FP        FP          FP           EXPIRED   -
CLOSED       END      AE             FP         FP            FP            R         R         FP      FP           FP      FP            FP           FP        FP          FP           RELEASED  -
COMPENSATED  END      AE             FP         FP            FP            R         R         FP      FP           FP      FP            FP           FP        FP          FP           -         -
"""  # noqa: E501


def cells() -> list[tuple[str, str, str]]:
    header, *rows = [line.split() for line in TABLE.strip().splitlines()]
    return [(row[0], move, cell) for row in rows for move, cell in zip(header, row[1:], strict=True)]


MOVES = {
    "confirm": confirm(ID),
    "confirm-some": confirm(ID, lamp=1),
    "confirm-more": confirm(ID, lamp=2, shade=2),
    "release": release(ID),
    "spend": spend(ID),
    "extend": extend(ID, 20 * MINUTE_MS),
    "extend-less": extend(ID, 10 * MINUTE_MS),
    "return": give_back(ID),
    "return-one": give_back(ID, lamp=1),
    "return-more": give_back(ID, lamp=3),
}
CHANGES = {
    "change": change(ID, lamp=3),
    "change-equal": change(ID, lamp=2, shade=1),
    "change-over": change(ID, lamp=3, shade=100),
}


async def make(shard: ShardUnderTest, move: str, created: Position, sale: SaleKey = SALE) -> object:
    if move in MOVES:
        return await shard.stock.move(MOVES[move]._replace(sale=sale))
    if move in CHANGES:
        return await shard.stock.change_hold(CHANGES[move]._replace(sale=sale))
    others: dict[str, Callable[[], Awaitable[object]]] = {
        "reserve": lambda: shard.stock.reserve(reserve(ID, sale=sale, lamp=2, shade=1)),
        "reserve-other": lambda: shard.stock.reserve(reserve(ID, sale=sale, lamp=1)),
        "expire": lambda: shard.stock.expire(0),
        "compensate": lambda: shard.stock.compensate(compensate(ID, created, sale)),
    }
    return await others[move]()


async def state_of(shard: ShardUnderTest, sale: SaleKey = SALE) -> str:
    found = await shard.stock.find_reservation(sale, ID)
    return ReservationState.Name(found.reservation.state)[18:] if isinstance(found, ReservationRead) else "none"


def word_for(answer: object) -> str:
    """The table's word for a result."""
    match answer:
        case Granted(replayed=True):
            return "R"
        case Granted(reservation=reservation) | ReservationRead(reservation=reservation):
            return ReservationState.Name(reservation.state)[18:]
        case Rejected(reason=reason):
            rejections: dict[int, str] = {
                RejectionReason.REJECTION_REASON_RESERVATION_ENDED: "END",
                RejectionReason.REJECTION_REASON_INSUFFICIENT_STOCK: "LESS",
            }
            return rejections[reason]
        case Failure(reason=reason):
            failures: dict[int, str] = {
                ErrorReason.ERROR_REASON_RESERVATION_ID_REUSED: "AE",
                ErrorReason.ERROR_REASON_RESERVATION_NOT_FOUND: "NF",
                ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE: "FP",
                ErrorReason.ERROR_REASON_CONFIRMED_OTHERWISE: "CO",
                ErrorReason.ERROR_REASON_MORE_THAN_HELD: "MH",
                ErrorReason.ERROR_REASON_MORE_THAN_SOLD: "MS",
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
    if cell in ("FP", "CO", "MH", "MS"):  # a caller that was too late need not read the reservation
        assert isinstance(answer, Failure)
        assert answer.reservation is not None
        assert ReservationState.Name(answer.reservation.state)[18:] == state_before
        assert answer.metadata.get("state") == (f"RESERVATION_STATE_{state_before}" if cell == "FP" else None)


@pytest.mark.parametrize(
    ("state", "move", "cell"),
    [cell for cell in cells() if cell[0] not in ("none", "HELD", "OVERDUE", "CLOSED") and cell[1] in MOVES],
)
async def test_an_archived_reservation_is_judged_by_the_same_table(
    memory: InMemoryShard, state: str, move: str, cell: str
) -> None:
    """The caller does not see whether it has left; only what would move a unit must be done in Redis."""
    await bring_to(memory, state)
    found = await memory.stock.find_reservation(SALE, ID)
    assert isinstance(found, ReservationRead)

    answer = move_archived(MOVES[move], found.reservation, read_time_ms=9)

    if isinstance(answer, Step):
        assert ReservationState.Name(answer.state)[18:] == cell
    else:
        assert word_for(answer) == cell


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
async def test_a_held_reservation_cannot_have_left_redis(memory: InMemoryShard, move: Move) -> None:
    """The ledger has it since Redis was asked, so Redis must be asked again."""
    await bring_to(memory, "HELD")
    found = await memory.stock.find_reservation(SALE, ID)
    assert isinstance(found, ReservationRead)

    assert move_archived(move, found.reservation, read_time_ms=9) is None


def state_or_end(cell: str) -> str | None:
    """The state that a cell leads to, if it names one."""
    return cell if cell in STATES else None


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


MISMATCH = "REVISION_MISMATCH"


@pytest.mark.parametrize(
    ("state", "move", "reason"),
    [
        pytest.param("HELD", confirm(ID, revision=2), MISMATCH, id="confirm"),
        pytest.param("HELD", confirm(ID, revision=2, lamp=3), MISMATCH, id="before-more-than-held"),
        pytest.param("HELD", release(ID, revision=2), MISMATCH, id="release"),
        pytest.param("HELD", extend(ID, 20 * MINUTE_MS, revision=2), MISMATCH, id="extend"),
        pytest.param("CONFIRMED", give_back(ID, revision=1), MISMATCH, id="return"),
        pytest.param("CONFIRMED", give_back(ID, revision=1, lamp=3), MISMATCH, id="before-more-than-sold"),
        pytest.param("HELD", confirm(ID, revision=1), "GRANTED", id="the-same"),
        pytest.param("CONFIRMED", confirm(ID, revision=1), "REPLAYED", id="after-a-repeat"),
        pytest.param("CONFIRMED", confirm(ID, revision=1, lamp=1), "CONFIRMED_OTHERWISE", id="after-other-lines"),
        pytest.param("CONFIRMED", release(ID, revision=1), "WRONG_RESERVATION_STATE", id="after-the-state"),
        pytest.param("OVERDUE", release(ID, revision=7), "REPLAYED", id="after-its-end"),
    ],
)
async def test_the_expected_revision_must_be_found(shard: ShardUnderTest, state: str, move: Move, reason: str) -> None:
    """After what stands so already and what the state does not allow, and before the move's own checks."""
    await bring_to(shard, state)
    kept = await shard.contents()

    answer = await shard.stock.move(move)

    assert reason_of(answer) == reason
    if isinstance(answer, Failure):
        assert answer.reservation is not None
        assert answer.metadata.get("revision") == (str(answer.reservation.revision) if reason == MISMATCH else None)
        assert await shard.contents() == kept


async def test_a_spend_of_an_unknown_id_expects_no_revision(shard: ShardUnderTest) -> None:
    """There is none to be found."""
    await bring_to(shard, "none")

    assert reason_of(await shard.stock.move(spend(ID)._replace(expected_revision=7))) == "GRANTED"


@pytest.mark.parametrize(
    ("state", "move", "about"),
    [
        ("HELD", confirm(ID, lamp=3), {"sku": "lamp", "held": "2", "asked": "3"}),
        ("HELD", confirm(ID, lamp=1, vase=1, shade=2), {"sku": "shade", "held": "1", "asked": "2"}),
        ("HELD", confirm(ID, vase=1), {"sku": "vase", "held": "0", "asked": "1"}),
        ("PARTLY-SOLD", confirm(ID), {"sku": "lamp", "sold": "1", "asked": "2"}),
        ("PARTLY-SOLD", confirm(ID, lamp=1, vase=1), {"sku": "vase", "sold": "0", "asked": "1"}),
        ("PARTLY-SOLD", give_back(ID, lamp=1, shade=1), {"sku": "shade", "sold": "0", "asked": "1"}),
        ("PARTLY-BACK", give_back(ID, vase=1), {"sku": "vase", "sold": "0", "asked": "1"}),
    ],
)
async def test_a_refusal_names_the_first_item_and_both_numbers(
    shard: ShardUnderTest, state: str, move: Move, about: dict[str, str]
) -> None:
    """The caller sees by how much it was wrong, without a read."""
    await bring_to(shard, state)

    answer = await shard.stock.move(move)

    assert isinstance(answer, Failure)
    assert answer.metadata == about


async def test_an_order_that_the_ledger_refused_for_its_id_is_unknown(shard: ShardUnderTest) -> None:
    """The ledger answers with the one that had the id first; a repeat of the Reserve alone hears how it ended."""
    created = await bring_to(shard, "HELD")
    await shard.stock.compensate(compensate(ID, created)._replace(reason=2))

    for answer in [await shard.stock.find_reservation(SALE, ID), await shard.stock.move(release(ID))]:
        assert reason_of(answer) == "RESERVATION_NOT_FOUND"
    assert reason_of(await shard.stock.reserve(reserve(ID, lamp=2, shade=1))) == "RESERVATION_ENDED"
