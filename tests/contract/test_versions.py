"""What watches read each tenth of a second: how far a shard is, and by which commits its sales changed last."""

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import EXPIRED
from inventory_service.domain.results import Failure, ReservationRead, reservation_not_found, sale_not_found
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import LOADED, ShardVersions
from tests.contract.requests import SALE, create, reserve
from tests.contract.shards import RedisShard
from tests.sales import make_sale

OTHER, ABSENT = SaleKey("default", "other-sale"), SaleKey("default", "no-sale")


async def versions_of(shard: RedisShard, *sales: SaleKey) -> ShardVersions:
    found = await shard.watched.read_versions(0, sales)
    assert not isinstance(found, Failure)
    return found


async def test_versions_name_the_last_commit_of_each_sale(scripts: RedisShard) -> None:
    """A commit about one sale leaves the versions of the others; a call that changes nothing leaves all."""
    await make_sale(scripts.stock, create())
    await make_sale(scripts.stock, create(sale=OTHER))
    await scripts.stock.reserve(reserve("r-1"))
    await scripts.stock.reserve(reserve("r-1"))

    found = await versions_of(scripts, SALE, ABSENT, OTHER)

    assert found.sales == [CommitId(1, 3), None, CommitId(1, 2)]
    assert (found.head, found.settled) == (Position(0, 1, 3, 0), CommitId(0, 0))


async def test_a_sale_that_was_loaded_has_no_version(scripts: RedisShard) -> None:
    """The ledger does not have it; the sale is still told from one that is not there."""
    await make_sale(scripts.stock, create())
    await scripts.ask("HDEL", scripts.keys(SALE).sale, "at")

    assert (await versions_of(scripts, SALE)).sales == [LOADED]


async def test_the_lag_is_the_age_of_the_first_commit_in_the_outbox(scripts: RedisShard) -> None:
    """What the ledger has reported is trimmed; while it has everything there is no lag."""
    before = await versions_of(scripts)
    await make_sale(scripts.stock, create())
    await scripts.tick(700)
    await scripts.stock.reserve(reserve("r-1"))
    await scripts.tick(300)
    both = await versions_of(scripts)
    await scripts.ask("XTRIM", "holdfast:{0}:outbox", "MINID", "1-2")
    one = await versions_of(scripts)

    assert (before.lag_ms, both.lag_ms, one.lag_ms) == (None, 1000, 300)


async def test_some_reservations_of_a_sale_are_read_in_one_call(scripts: RedisShard) -> None:
    """Each as it stands; a hold whose end has come says whether it was taken back already."""
    await make_sale(scripts.stock, create(hold_ttl_ms=1000))
    await scripts.stock.reserve(reserve("r-1"))
    await scripts.tick(1000)

    overdue, unknown = await scripts.watched.find_reservations(SALE, ["r-1", "r-2"])
    await scripts.stock.expire(0)
    swept, _ = await scripts.watched.find_reservations(SALE, ["r-1", "r-2"])
    of_no_sale = await scripts.watched.find_reservations(ABSENT, ["r-1", "r-2"])

    assert isinstance(overdue, ReservationRead)
    assert isinstance(swept, ReservationRead)
    assert (overdue.reservation.state, overdue.is_overdue, overdue.reservation.revision) == (EXPIRED, True, 1)
    assert (swept.reservation.state, swept.is_overdue, swept.reservation.revision) == (EXPIRED, False, 2)
    assert unknown == reservation_not_found(SALE, "r-2")
    assert of_no_sale == [sale_not_found(ABSENT)] * 2
