"""What every unit test leaves as it was."""

import logging
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
    """A command that a test runs in this process configures its log: later tests would lack lines, or have more."""
    configuration, root = structlog.get_config(), logging.getLogger()
    level = root.level
    yield
    structlog.configure(**configuration)
    structlog.contextvars.clear_contextvars()
    root.setLevel(level)
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:  # pytest's own are of other types
            root.removeHandler(handler)
