"""A whole stack for all tests of a worker that use one; each injects faults and leaves every process running."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from holdfast.client import Client
from holdfast_embedded.stack import Stack

from tests.crowd import CRASH_RETRY
from tests.fault_stack import SHARDS, FaultStack
from tests.faults.recovery.summary import Ended, summary
from tests.stacks import running_stack

WORTH_A_TABLE = 16


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show how the combinations of stores ended, if many of them ran."""
    reports = (report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome))
    calls = [report for report in reports if report.when == "call"]
    lines = list(summary(Ended(report.nodeid, report.outcome, report.duration) for report in calls))
    if len(calls) >= WORTH_A_TABLE:
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a worker."""
    with running_stack(tmp_path_factory.mktemp("stack"), HOLDFAST_SHARDS=str(SHARDS)) as stack:
        yield stack


@pytest.fixture
async def stack(shared_stack: Stack) -> AsyncIterator[FaultStack]:
    """The worker's stack, and a client of this test."""
    async with client_of(shared_stack) as client:
        yield FaultStack(shared_stack, client)


def client_of(stack: Stack) -> Client:
    """A client that retries through a crash."""
    return Client(stack.addresses.listen, channels=4, retry=CRASH_RETRY)
