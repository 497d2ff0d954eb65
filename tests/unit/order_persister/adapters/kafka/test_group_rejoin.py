"""When a persister ends because its consumer cannot go on."""

import asyncio
import os
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaError

from order_persister.adapters.kafka.group_rejoin import surface_errors


class Ended(BaseException):
    """Raised in the place of `os._exit`."""


@pytest.fixture(autouse=True)
def exit_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    def exit_(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", exit_)


def consumer_with(fetching: "asyncio.Future[None]") -> SimpleNamespace:
    """A consumer that has joined its group, with the task that fetches for it."""
    coordinator = SimpleNamespace(check_errors=lambda: None)
    return SimpleNamespace(_coordinator=coordinator, _fetcher=SimpleNamespace(error_future=fetching))


async def test_a_consumer_that_has_stopped_fetching_ends_the_process() -> None:
    """It would wait for records for ever, while its heartbeats keep the partitions from others."""
    fetching: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    surface_errors(consumer_with(fetching))

    fetching.set_exception(KafkaError("Unexpected error during data retrieval"))

    with pytest.raises(Ended):
        surface_errors(consumer_with(fetching))


async def test_a_consumer_that_connects_or_stops_ends_nothing() -> None:
    """A persister that ends in order cancels what fetches."""
    fetching: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    fetching.cancel()

    surface_errors(consumer_with(fetching))
    surface_errors(SimpleNamespace(_coordinator=None, _fetcher=None))
