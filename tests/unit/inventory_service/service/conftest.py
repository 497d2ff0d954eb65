"""A batcher for each test."""

import pytest

from tests.unit.inventory_service.service.manual_stock import BatcherFixture


@pytest.fixture
def fixture() -> BatcherFixture:
    return BatcherFixture()
