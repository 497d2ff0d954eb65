"""Work in the background begins again after an unhandled exception."""

import asyncio

import pytest
from structlog.testing import capture_logs

from holdfast_runtime import background
from holdfast_runtime.background import keep_running


class Work:
    """Fails so often, and then runs until it is told to end."""

    def __init__(self, failures: int) -> None:
        self.begun = 0
        self._failures = failures
        self.runs = asyncio.Event()
        self.may_end = asyncio.Event()

    async def run(self) -> None:
        self.begun += 1
        if self.begun <= self._failures:
            raise ValueError("a bug")
        self.runs.set()
        await self.may_end.wait()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(background, "LONGEST_DELAY_S", 0.001)


async def test_work_that_failed_is_logged_and_begins_again() -> None:
    work = Work(failures=3)
    with capture_logs() as logged:
        task = asyncio.create_task(keep_running(work.run))
        await work.runs.wait()

    assert [(line["event"], line["work"]) for line in logged] == [("background_work_failed", "Work.run")] * 3
    work.may_end.set()
    await task
    assert work.begun == 4


async def test_a_cancellation_ends_it() -> None:
    work = Work(failures=0)
    task = asyncio.create_task(keep_running(work.run))
    await work.runs.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.begun == 1
