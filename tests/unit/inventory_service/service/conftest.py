"""A batcher for each test, and the archive of a sale that has left Redis."""

import pytest

from inventory_service.service.archive_fallback import ArchiveFallback
from tests.unit.inventory_service.service.fake_archive import BOUGHT, NOW_MS, FakeArchive, archive_of
from tests.unit.inventory_service.service.manual_stock import BatcherFixture


@pytest.fixture
def fixture() -> BatcherFixture:
    return BatcherFixture()


@pytest.fixture
def ledger() -> FakeArchive:
    """The archive of a sale that is over and has left Redis, with a confirmed reservation."""
    ledger = FakeArchive()
    ledger.end_ms = NOW_MS
    ledger.reservations["bought"] = BOUGHT
    return ledger


@pytest.fixture
def archive(ledger: FakeArchive) -> ArchiveFallback:
    """The fallback in front of a stock that has the sale no more."""
    return archive_of(ledger)
