"""What every unit test leaves as it was."""

import signal
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """A command that a test runs in this process leaves handlers of a loop that is closed: Ctrl-C would do nothing."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def logging_of_structlog() -> Iterator[None]:
    """Such a command sets the level too, below which later tests would see no event."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
