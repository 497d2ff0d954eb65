"""A stock that is watched."""

import pytest

from tests.unit.inventory_service.service.watches.polled_stock import Polled


@pytest.fixture
def polled() -> Polled:
    return Polled()
