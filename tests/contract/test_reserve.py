"""Reserve on each implementation: precedence of reasons, repeats, several sales and lines."""

from dataclasses import dataclass
from typing import Any

import pytest
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.inventory.v1.reservation_pb2 import Line, ReservationState

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve, PlainResult
from inventory_service.domain.reservation import Units
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted, ReservationRead, Shortage
from inventory_service.domain.sale import CreateSale
from inventory_service.domain.units import usual_units
from inventory_service.rpc.plain_requests import parse_reserve, plain_reserve
from tests.contract.requests import MINUTE_MS, SALE, confirm, create, release, reserve, spend
from tests.contract.results import granted, reason_of, rejected
from tests.contract.shards import FIRST_MOMENT_MS, NOT_SERVED, ShardUnderTest
from tests.sales import make_sale

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED


# ------------------------------------------------------------------------------------------- the usual shape


def plain(request: Reserve) -> PlainReserve:
    """A request of the usual shape, as it comes from the wire."""
    (line,) = request.lines
    sent = ReserveRequest(
        sale_id=request.sale.sale_id,
        reservation_id=request.reservation_id,
        buyer_id=request.buyer_id,
        lines=[Line(sku=line.sku, quantity=line.quantity)],
    )
    parsed = parse_reserve(sent.SerializeToString())
    assert not isinstance(parsed, ReserveRequest)
    return plain_reserve(parsed, request.sale.tenant)


def told(result: PlainResult) -> Any:
    """What a caller hears but for the position."""
    if isinstance(result, PlainHold):
        return "held", result.expire_ms, result.moment.now_ms
    if isinstance(result, Granted):
        made = result.reservation
        return "replayed" if result.replayed else "held", made.expire_time_ms, result.read_time_ms
    return reason_of(result)


async def test_one_of_the_usual_shape_is_judged_and_stored_as_every_other(shard: ShardUnderTest) -> None:
    """Its bytes never become a Reserve on their way to the scripts and back."""
    one, other = SaleKey("acme", "lamp-sale"), SaleKey("default", "lamp-sale")
    for sale in (one, other):
        await make_sale(shard.stock, create(sale, items={"lamp": 1001}))
    asked = [
        reserve("r-1", sale=other, lamp=1000),
        reserve("r-1", sale=other, lamp=1000),
        reserve("r-1", "b-2", sale=other),
        reserve("r-2", sale=other),
        reserve("r-3", sale=other),
        reserve("r-4", sale=other, vase=1),
    ]

    as_usual = [await shard.stock.reserve(request) for request in asked]
    quickly = [await shard.stock.reserve_plain(plain(request._replace(sale=one))) for request in asked]

    assert [told(result) for result in quickly] == [told(result) for result in as_usual]
    assert [told(result) for result in as_usual][2:] == [
        *("RESERVATION_ID_REUSED", ("held", shard.now_ms + 10 * MINUTE_MS, shard.now_ms)),
        *("SOLD_OUT", "ITEM_NOT_FOUND"),
    ]
    first, second = [await shard.stock.find_reservation(sale, "r-1") for sale in (one, other)]
    assert isinstance(first, ReservationRead)
    assert isinstance(second, ReservationRead)
    made, created = second.reservation, first.reservation.created
    assert first.reservation == made._replace(sale=one, created=created, position=created)


# ----------------------------------------------------------------------------------------- order of judgement


@dataclass
class Case:
    """A request to which several reasons apply, and the one that takes precedence."""

    sale: CreateSale | None
    request: Reserve
    first: str


EARLY = FIRST_MOMENT_MS + MINUTE_MS
OVER = FIRST_MOMENT_MS + 1
MANY: Any = {"lamp": 99}
CASES = {
    "unknown sale first": Case(None, reserve("r-2", ttl_ms=1000, vase=1), "SALE_NOT_FOUND"),
    "no item before holds": Case(
        create(hold_ttl_ms=0, end_time_ms=OVER), reserve("r-2", ttl_ms=1000, vase=1), "ITEM_NOT_FOUND"
    ),
    "no holds before the end": Case(
        create(hold_ttl_ms=0, end_time_ms=OVER), reserve("r-2", ttl_ms=1000, **MANY), "SALE_WITHOUT_HOLDS"
    ),
    "the end before stock": Case(create(end_time_ms=OVER), reserve("r-2", **MANY), "SALE_ENDED"),
    "the start before stock": Case(create(start_time_ms=EARLY), reserve("r-2", **MANY), "SALE_NOT_STARTED"),
    "sold out before insufficient": Case(
        create(items={"lamp": 2, "shade": 0}), reserve("r-2", lamp=3, shade=1), "SOLD_OUT"
    ),
    "sold out before the limit": Case(create(items={"lamp": 0}, buyer_limit=1), reserve("r-2", lamp=2), "SOLD_OUT"),
    "insufficient before the limit": Case(create(buyer_limit=1), reserve("r-2", **MANY), "INSUFFICIENT_STOCK"),
    "insufficient before an item's limit": Case(
        create(item_limits={"lamp": 1}), reserve("r-2", **MANY), "INSUFFICIENT_STOCK"
    ),
    "an item's limit before the sale's": Case(
        create(item_limits={"lamp": 1}, buyer_limit=1), reserve("r-2", lamp=2), "ITEM_LIMIT"
    ),
    "the limit last": Case(create(buyer_limit=1), reserve("r-2", lamp=2), "BUYER_LIMIT"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_the_first_reason_that_applies_is_the_result(shard: ShardUnderTest, case: Case) -> None:
    """A caller acts on one reason, and which one must not depend on the implementation."""
    if case.sale:
        await make_sale(shard.stock, case.sale)
    await shard.tick(1)
    kept = await shard.contents()

    answer = await shard.stock.reserve(case.request)

    assert reason_of(answer) == case.first
    assert await shard.contents() == kept


async def test_a_repeat_is_replayed_before_any_other_check(shard: ShardUnderTest) -> None:
    """A granted reservation stays granted when the sale has ended and is sold out."""
    await make_sale(shard.stock, create(items={"lamp": 1}, end_time_ms=FIRST_MOMENT_MS + 1000, buyer_limit=1))
    first = await granted(shard, reserve("r-1"))

    await shard.tick(2000)
    again = await granted(shard, reserve("r-1"))

    assert again == Granted(first.reservation, replayed=True, read_time_ms=first.read_time_ms + 2000)


async def test_failures_name_sale_item_or_reservation(shard: ShardUnderTest) -> None:
    """They are in the metadata of the status, for the caller's log."""
    await make_sale(shard.stock, create())
    await granted(shard, reserve("r-1"))

    missing = await shard.stock.reserve(reserve("r-2", lamp=1, vase=1))
    reused = await shard.stock.reserve(reserve("r-1", buyer="b-2"))
    elsewhere = await shard.stock.reserve(reserve("r-2", sale=SaleKey("default", "none")))

    assert isinstance(missing, Failure)
    assert missing.metadata == {"sale_id": "lamp-sale", "sku": "vase"}
    assert isinstance(reused, Failure)
    assert reused.metadata == {"sale_id": "lamp-sale", "reservation_id": "r-1"}
    assert isinstance(elsewhere, Failure)
    assert elsewhere.metadata == {"sale_id": "none"}


# --------------------------------------------------------------------------------------------------- repeats


@pytest.mark.parametrize(
    "other", [{"buyer": "b-2"}, {"ttl_ms": 600_000}, {"lamp": 2}, {"lamp": 1, "shade": 1}, {"reference": "cart-7"}]
)
async def test_a_different_request_with_a_used_id_is_reservation_id_reused(
    shard: ShardUnderTest, other: dict[str, object]
) -> None:
    """Buyer, lines, `hold_ttl` and `reference` must be equal; a `hold_ttl` of the default value is no unset one."""
    await make_sale(shard.stock, create())
    await granted(shard, reserve("r-1"))

    answer = await shard.stock.reserve(reserve("r-1", **other))  # type: ignore[arg-type]

    assert reason_of(answer) == "RESERVATION_ID_REUSED"


async def test_a_reference_stays_with_its_reservation(shard: ShardUnderTest) -> None:
    """Of one line and of several; it is part of what a repeat must have, and its spelling is that of an id."""
    await make_sale(shard.stock, create())
    requests = [reserve("r-1", reference="o:1.A_-"), reserve("r-2", ttl_ms=9000, reference="7", lamp=2, shade=1)]

    for request in requests:
        first = await granted(shard, request)
        again = await granted(shard, request)
        found = await shard.stock.find_reservation(SALE, request.reservation_id)

        assert (first.reservation.reference, first.reservation.lines) == (
            request.reference,
            usual_units(request.lines, HELD),
        )
        assert again == first._replace(replayed=True)
        assert isinstance(found, ReservationRead)
        assert found.reservation == first.reservation
        for other in ("", request.reference.lower() + "x"):
            assert reason_of(await shard.stock.reserve(request._replace(reference=other))) == "RESERVATION_ID_REUSED"


async def test_a_rejected_request_is_judged_anew(shard: ShardUnderTest) -> None:
    """A repeat with the same id is no replay, and may even have other lines."""
    await make_sale(shard.stock, create(items={"lamp": 1}))
    await granted(shard, reserve("r-1"))
    assert reason_of(await shard.stock.reserve(reserve("r-2"))) == "SOLD_OUT"

    await shard.stock.move(release("r-1"))

    assert reason_of(await shard.stock.reserve(reserve("r-2", buyer="b-9"))) == "GRANTED"


async def test_an_ended_id_is_rejected_with_its_reservation(shard: ShardUnderTest) -> None:
    """RESERVATION_ENDED has the reservation; a spent id was never reserved, so its result is no replay."""
    await make_sale(shard.stock, create())
    await granted(shard, reserve("r-1"))
    await shard.stock.move(release("r-1", reason="changed my mind"))
    await shard.stock.move(spend("r-2"))

    ended = await rejected(shard, reserve("r-1"))
    spent = await rejected(shard, reserve("r-2"))

    assert ended.ended is not None
    assert ended.ended.note == "changed my mind"
    assert ended.replayed
    assert spent.ended is not None
    assert spent.ended.lines == ()
    assert not spent.replayed


@NOT_SERVED
async def test_equal_ids_in_one_call_are_judged_in_order(shard: ShardUnderTest) -> None:
    """The results are those of the same requests one by one."""
    await make_sale(shard.stock, create(items={"lamp": 2}))

    answers = await shard.stock.reserve_many(
        0, [reserve("r-1"), reserve("r-1"), reserve("r-1", lamp=2), reserve("r-2"), reserve("r-3"), reserve("r-3")]
    )

    assert [reason_of(answer) for answer in answers] == [
        "GRANTED",
        "REPLAYED",
        "RESERVATION_ID_REUSED",
        "GRANTED",
        "SOLD_OUT",
        "SOLD_OUT",
    ]
    assert len(await shard.commits()) == 2


@NOT_SERVED
async def test_one_call_reserves_in_several_sales(shard: ShardUnderTest) -> None:
    """A shard has many sales, and a call makes one commit of all changes."""
    other = SaleKey("default", "vase-sale")
    await make_sale(shard.stock, create())
    await make_sale(shard.stock, create(sale=other, items={"vase": 1}))

    answers = await shard.stock.reserve_many(
        0, [reserve("r-1"), reserve("r-1", sale=other, vase=1), reserve("r-2", sale=other, vase=1), reserve("r-2")]
    )

    assert [reason_of(answer) for answer in answers] == ["GRANTED", "GRANTED", "SOLD_OUT", "GRANTED"]
    assert [len(commit.events) for commit in await shard.commits()] == [1, 1, 3]


# ----------------------------------------------------------------------------------------------- several lines


async def test_all_lines_or_none(shard: ShardUnderTest) -> None:
    """One short line grants nothing of the others, and the rejection lists the short lines alone."""
    await make_sale(shard.stock, create(items={"lamp": 5, "shade": 1, "vase": 2}))
    await granted(shard, reserve("r-1", shade=1, vase=1))

    short = await rejected(shard, reserve("r-2", lamp=1, shade=1, vase=3))
    insufficient = await rejected(shard, reserve("r-3", lamp=6, vase=2))
    filled = await granted(shard, reserve("r-4", lamp=5, vase=1))

    assert reason_of(short) == "SOLD_OUT"
    assert short.shortages == (Shortage("shade", 1, 0, 1), Shortage("vase", 3, 1, 1))
    assert reason_of(insufficient) == "INSUFFICIENT_STOCK"
    assert insufficient.shortages == (Shortage("lamp", 6, 5, 0), Shortage("vase", 2, 1, 1))
    assert filled.reservation.lines == (Units("lamp", 5, 0, 0), Units("vase", 1, 0, 0))


async def test_twenty_lines_of_the_largest_quantity(shard: ShardUnderTest) -> None:
    """The most that one request may ask for."""
    lines: Any = {f"item-{number:02}": 1000 for number in range(20)}
    await make_sale(shard.stock, create(items=dict.fromkeys(lines, 1000)))

    assert reason_of(await shard.stock.reserve(reserve("r-1", **lines))) == "GRANTED"
    assert reason_of(await shard.stock.reserve(reserve("r-2", **lines))) == "SOLD_OUT"
    assert reason_of(await shard.stock.move(confirm("r-1"))) == "GRANTED"


async def test_numbers_stay_exact_at_the_largest_total(shard: ShardUnderTest) -> None:
    """Lua by default writes large numbers rounded, in exponential form."""
    total = 10**12
    await make_sale(shard.stock, create(items={"lamp": total, "shade": total - 1}, buyer_limit=10**12))

    await granted(shard, reserve("r-1", lamp=1000, shade=1))
    await shard.stock.move(confirm("r-1"))
    found = await shard.stock.find_sale(SALE)

    assert [item[1:5] for item in found.sale.items] == [  # type: ignore[union-attr]
        (total, total - 1000, 0, 1000),
        (total - 1, total - 2, 0, 1),
    ]
