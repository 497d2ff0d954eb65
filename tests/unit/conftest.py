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
def log_configuration() -> Iterator[None]:
    """A command that a test runs in this process configures its log, which would leave out lines of later tests."""
    configuration = structlog.get_config()
    yield
    structlog.configure(**configuration)
