"""What the archive fallback asks the ledger, how often, and what it answers where the ledger cannot."""

import asyncio

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.moves import MoveKind
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import SaleRead
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from tests.unit.inventory_service.service.fake_archive import (
    BUY,
    GONE,
    LAMPS,
    NOW_MS,
    SALE,
    SPEND,
    FakeArchive,
    archive_of,
    reason_of,
)


async def test_an_archived_sale_is_read_once_and_then_cached(archive: ArchiveFallback, ledger: FakeArchive) -> None:
    """It never changes, and thousands of calls may follow: each costs the ledger one query for its own id."""
    await archive.find_sale(SALE)
    ledger.asked.clear()

    for number in range(3):
        await archive.reserve(BUY._replace(reservation_id=f"late-{number}"))
    await archive.find_sale(SALE)

    assert ledger.asked == ["reservation"] * 3


async def test_a_sale_that_the_ledger_does_not_know_to_have_left_is_read_again(
    archive: ArchiveFallback, ledger: FakeArchive
) -> None:
    """If Redis is lost then, a load brings the sale back, and it may change and leave once more."""
    ledger.has_left = False
    await archive.find_sale(SALE)
    await archive.find_sale(SALE)

    assert ledger.asked.count("sale") == 2


async def test_concurrent_calls_read_an_archived_sale_once(archive: ArchiveFallback, ledger: FakeArchive) -> None:
    """The others find it in the cache when their turn comes."""
    requests = [BUY._replace(reservation_id=f"late-{number}") for number in range(20)]

    answers = await asyncio.gather(*(archive.reserve(request) for request in requests))

    assert {reason_of(answer) for answer in answers} == {"SALE_ENDED"}
    assert ledger.asked.count("sale") == 1


async def test_an_unknown_id_costs_one_query(archive: ArchiveFallback, ledger: FakeArchive) -> None:
    """Whether it is reserved, read, moved or spent."""
    ledger.has_sale = False
    ledger.reservations.clear()
    asked = [
        archive.reserve(BUY),
        archive.find_sale(SALE),
        archive.find_reservation(SALE, "r-1"),
        archive.move(SPEND._replace(kind=MoveKind.RELEASE)),
        archive.move(SPEND),
    ]

    answers = [await answer for answer in asked]

    assert answers == [GONE] * len(asked)
    assert len(ledger.asked) == len(asked)


async def test_a_busy_ledger_fails_further_calls_with_overloaded(ledger: FakeArchive) -> None:
    """Calls about archived or unknown ids must not take the ledger's time from all others."""
    archive = ArchiveFallback(InMemoryStock(lambda: NOW_MS), ledger, ledger, Bulkhead(1, waiting=0), lambda: NOW_MS)

    answers = await asyncio.gather(*(archive.find_sale(SALE) for _ in range(3)))

    assert isinstance(answers[0], SaleRead)
    assert answers[1:] == [Failure(reasons.ERROR_REASON_OVERLOADED)] * 2


async def test_an_unreachable_ledger_is_reported_and_never_not_found(ledger: FakeArchive) -> None:
    """Each failure is a value, so that a batch can carry it item by item."""
    ledger.is_away = True
    archive = archive_of(ledger)

    answers = [
        await archive.reserve(BUY),
        await archive.move(SPEND),
        await archive.find_sale(SALE),
        await archive.find_reservation(SALE, "bought"),
        await archive.change_sale(LAMPS),
    ]

    assert answers == [Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)] * len(answers)
