"""What every unit test leaves as it was."""

import logging
import signal
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def unchanged_process() -> Iterator[None]:
    """A command that a test runs in this process leaves handlers of signals and a log.

    The handlers are of a loop that is closed: Ctrl-C would do nothing. Later tests would lack lines, or have more. This
    is one fixture, because it runs with every test.
    """
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    configuration, root = structlog.get_config(), logging.getLogger()
    level = root.level
    yield
    for number, former in handlers:
        signal.signal(number, former)
    structlog.configure(**configuration)
    structlog.contextvars.clear_contextvars()
    if root.level != level:  # setting it costs as much as all else here
        root.setLevel(level)
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:  # pytest's own are of other types
            root.removeHandler(handler)
