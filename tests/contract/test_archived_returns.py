"""Returns of reservations that have left a sale that has not: each is booked once, on each implementation."""

from collections.abc import Callable

import pytest

from inventory_service.domain.archive import ReturnArchived
from inventory_service.domain.reserve import fingerprint_of
from inventory_service.domain.results import Failure, Granted, ReservationRead
from inventory_service.domain.shards import CommitId
from tests.contract.requests import MINUTE_MS, SALE, confirm, create, give_back, reserve
from tests.contract.results import reason_of
from tests.contract.shards import NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

pytestmark = NOT_SERVED
ID = "r-1"
BOUGHT = reserve(ID, lamp=2, shade=1, reference="cart-7", ttl_ms=MINUTE_MS)
SOME = confirm(ID, lamp=2)


async def leave(shard: ShardUnderTest) -> ReturnArchived:
    """Let the reservation leave; what a server knows of it that asks for a return afterwards."""
    commits = len(await shard.commits())
    await shard.settle_up_to(commits)
    found = await shard.stock.find_reservation(SALE, ID)
    assert isinstance(found, ReservationRead)
    await shard.stock.archive(SALE, retention_ms=0)
    head = CommitId(1, commits)
    return ReturnArchived(give_back(ID, lamp=1), head, head, found.reservation, fingerprint_of(BOUGHT))


async def sold_and_left(shard: ShardUnderTest) -> ReturnArchived:
    """A purchase of two lamps of a hold of three units, which has left its sale."""
    await make_sale(shard.stock, create())
    await shard.stock.reserve(BOUGHT)
    await shard.stock.move(SOME)
    return await leave(shard)


async def test_it_is_stored_again_as_the_ledger_has_it_and_moved(shard: ShardUnderTest) -> None:
    """With its claim, its buyer and all of its history, so that the next move and a repeat of its Reserve find it."""
    asked = await sold_and_left(shard)

    returned = await shard.stock.return_archived(asked)
    repeated = await shard.stock.reserve(BOUGHT)
    rest = await shard.stock.move(give_back(ID))

    assert isinstance(returned, Granted)
    before = asked.reservation
    assert returned.reservation == before._replace(
        lines=(before.lines[0]._replace(came_back=1), before.lines[1]),
        revision=3,
        note="broken",
        position=before.position._replace(seq=4),
        ledger_state=returned.reservation.ledger_state,
    )
    assert repeated == returned._replace(replayed=True)
    assert isinstance(rest, Granted)
    assert await shard.buyers(SALE) == {}


async def test_two_servers_that_found_no_record_book_a_return_once(shard: ShardUnderTest) -> None:
    """The second finds the record that the first stored, and does not look at what it read in the ledger."""
    asked = await sold_and_left(shard)

    first = await shard.stock.return_archived(asked)
    second = await shard.stock.return_archived(asked)

    assert isinstance(first, Granted)
    assert second == first._replace(replayed=True)


async def test_a_record_that_left_since_is_asked_for_again(shard: ShardUnderTest) -> None:
    """Else a slow server would store what the ledger had before the return of a fast one, and book it twice."""
    slow = await sold_and_left(shard)
    await shard.stock.return_archived(slow)
    known = await leave(shard)
    kept = await shard.contents()

    late = await shard.stock.return_archived(slow)
    assert isinstance(late, Failure)
    again = await shard.stock.return_archived(known._replace(head=late.head or slow.head))

    assert (reason_of(late), late.head) == ("RESERVATION_NOT_FOUND", CommitId(1, 4))
    assert again == Granted(known.reservation, replayed=True, read_time_ms=shard.now_ms)
    assert await shard.contents() == kept


Change = Callable[[ReturnArchived], ReturnArchived]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(lambda asked: asked._replace(head=CommitId(2, 9)), "RESERVATION_NOT_FOUND", id="other-epoch"),
        pytest.param(lambda asked: asked._replace(watermark=CommitId(1, 2)), "SHARD_NOT_SERVING", id="set-back-ledger"),
        pytest.param(lambda asked: asked._replace(move=give_back(ID, lamp=3)), "MORE_THAN_SOLD", id="more-than-sold"),
        pytest.param(lambda asked: asked._replace(move=give_back(ID, revision=1)), "REVISION_MISMATCH", id="revision"),
    ],
)
async def test_what_is_refused_writes_nothing(shard: ShardUnderTest, change: Change, reason: str) -> None:
    """Not even the record: the ledger goes on answering for it."""
    asked = await sold_and_left(shard)
    kept = await shard.contents()

    answer = await shard.stock.return_archived(change(asked))

    assert reason_of(answer) == reason
    assert await shard.contents() == kept


async def test_a_sale_that_has_left_takes_nothing_back(shard: ShardUnderTest) -> None:
    """Its units are nowhere in Redis any more."""
    asked = await sold_and_left(shard)
    moved = asked.move._replace(sale=SALE._replace(sale_id="other"))

    assert reason_of(await shard.stock.return_archived(asked._replace(move=moved))) == "SALE_NOT_FOUND"
