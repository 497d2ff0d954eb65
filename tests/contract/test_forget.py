"""What leaves Redis, on both bodies: final, settled and old; the ledger answers from then on."""

from inventory_service.domain.verdicts import Forgotten, Found, Granted
from tests.contract.bodies import Body
from tests.contract.requests import SALE, compensate, confirm, create, release, reserve

DAY_MS = 86_400_000


async def forget_all(body: Body) -> int:
    """Walk over the sale once."""
    dropped, cursor = 0, 0
    while True:
        step = await body.stock.forget(SALE, DAY_MS, cursor)
        assert isinstance(step, Forgotten)
        dropped, cursor = dropped + step.dropped, step.cursor
        if cursor == 0:
            return dropped


async def remembered(body: Body, *ids: str) -> list[str]:
    """Those of these reservations that are still there."""
    return [name for name in ids if isinstance(await body.stock.find_reservation(SALE, name), Found)]


async def test_a_final_record_leaves_a_day_later_once_it_is_settled(body: Body) -> None:
    """CONFIRMED is final; HELD is not, however old."""
    await body.stock.create_sale(create(hold_ttl_ms=100 * DAY_MS))
    for name in ("held", "sold", "freed"):
        await body.stock.reserve(reserve(name))
    await body.stock.settle_many(0, [confirm("sold"), release("freed")])
    seq = len(await body.commits())

    await body.settle_up_to(seq)
    await body.tick(DAY_MS - 1)
    young = await forget_all(body)
    await body.tick(1)
    await body.settle_up_to(seq - 1)
    unsettled = await forget_all(body)
    await body.settle_up_to(seq)
    old = await forget_all(body)

    assert (young, unsettled, old) == (0, 0, 2)
    assert await remembered(body, "held", "sold", "freed") == ["held"]


async def test_forgetting_moves_no_units(body: Body) -> None:
    """What was sold is still sold, and still counts for its buyer's limit."""
    await body.stock.create_sale(create(hold_ttl_ms=0, buyer_limit=1))
    await body.stock.reserve(reserve("r-1"))
    before = await body.stock.find_sale(SALE)
    await body.settle_up_to(2)
    await body.tick(DAY_MS)

    assert await forget_all(body) == 1

    after = await body.stock.find_sale(SALE)
    assert after.sale == before.sale  # type: ignore[union-attr]
    assert await body.buyers(SALE) == {"b-1": {"held": 0, "sold": 1}}
    assert len(await body.commits()) == 2


async def test_a_late_compensation_does_not_strike_a_newer_reservation_of_the_id(body: Body) -> None:
    """The id is free in Redis after its record left; the compensation names where its order was created."""
    await body.stock.create_sale(create())
    first = await body.stock.reserve(reserve("r-1"))
    assert isinstance(first, Granted)
    await body.stock.release(release("r-1"))
    await body.settle_up_to(3)
    await body.tick(DAY_MS)
    await forget_all(body)

    second = await body.stock.reserve(reserve("r-1", buyer="b-2"))

    assert isinstance(second, Granted)
    assert not second.replayed
    assert await body.stock.compensate(compensate("r-1", first.reservation.created)) is False
    assert await body.stock.compensate(compensate("r-1", second.reservation.created)) is True


async def test_a_walk_over_many_records_ends(body: Body) -> None:
    """In steps, each of which looks at a few."""
    await body.stock.create_sale(create(items={"lamp": 1000}, hold_ttl_ms=0))
    for start in range(0, 1000, 125):
        await body.stock.reserve_many(0, [reserve(f"r-{number}") for number in range(start, start + 125)])
    await body.settle_up_to(9)
    await body.tick(DAY_MS)

    assert await forget_all(body) == 1000
    assert await remembered(body, "r-0", "r-999") == []
