"""The loop of the persister's agent: an exception in it ends the process, because Faust would acknowledge and go on."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import faust
import pytest
from aiokafka.errors import KafkaConnectionError

from order_persister.adapters.kafka import agent
from order_persister.adapters.kafka.agent import persist_all

STEPS = ["apply", "publish", "ack"]


class Ended(BaseException):
    """Raised in the place of `os._exit`."""


@dataclass
class FakeSteps:
    """Stream, writer and publisher in one; the step `fails_at` raises."""

    fails_at: str = ""
    done: list[str] = field(default_factory=list)

    channel: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(queue=asyncio.Queue()))

    async def events(self) -> AsyncIterator[object]:
        message = SimpleNamespace(partition=0, offset=0, value=b"")
        yield SimpleNamespace(message=message)

    async def apply(self, records: Iterable[object], publish: Callable[[Iterable[object]], Awaitable[None]]) -> None:
        self._do("apply")
        await publish([])

    async def publish(self, outcomes: Iterable[object]) -> None:
        self._do("publish")

    async def ack(self, event: object) -> None:
        self._do("ack")

    def _do(self, what: str) -> None:
        if what == self.fails_at:
            raise RuntimeError(what)
        self.done.append(what)


async def persist(steps: FakeSteps) -> None:
    await persist_all(steps, steps, steps)  # type: ignore[arg-type]


async def test_a_batch_is_acknowledged_after_it_was_published() -> None:
    """A batch that was not published is delivered once more."""
    steps = FakeSteps()

    await persist(steps)

    assert steps.done == STEPS


@pytest.mark.parametrize("step", STEPS)
async def test_an_unhandled_exception_ends_the_process(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Also in the acknowledgement: an exception that leaves the loop makes Faust acknowledge what it still has."""
    steps = FakeSteps(fails_at=step)

    def exit_(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", exit_)
    with pytest.raises(Ended):
        await persist(steps)

    assert steps.done == STEPS[: STEPS.index(step)]


class FakeApp:
    """An app whose start fails."""

    def __init__(self, error: Exception) -> None:
        self.conf = SimpleNamespace(datadir=None)
        self._error = error

    def add_future(self, coroutine: Coroutine[object, object, None]) -> None:
        coroutine.close()

    async def start(self) -> None:
        raise self._error


async def test_a_broker_that_refuses_the_first_connection_restarts_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage ends no process, at its start either; anything else does."""
    restarted: list[object] = []
    monkeypatch.setattr(agent, "restart_process", restarted.append)
    away, broken = FakeApp(KafkaConnectionError("Unable to bootstrap")), FakeApp(LookupError("a bug"))

    await agent.start(cast(faust.App, away))
    with pytest.raises(LookupError):
        await agent.start(cast(faust.App, broken))

    assert restarted == [away]
