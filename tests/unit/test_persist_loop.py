"""The loop of the persister's agent: whatever fails in it ends the process, for Faust would acknowledge and go on."""

import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from order_persister.adapters.kafka.agent import persist_all

STEPS = ["apply", "saw", "tell", "ack"]


class Ended(BaseException):
    """The process would be gone."""


@dataclass
class Everything:
    """Stream, ledger, rereader and teller in one; where `fails_at` says, something nobody thought of happens."""

    fails_at: str = ""
    done: list[str] = field(default_factory=list)

    async def noack_take(self, max_: int, within: float) -> AsyncIterator[list[object]]:
        message = SimpleNamespace(partition=0, offset=0, value=b"")
        yield [SimpleNamespace(message=message)]

    async def apply(self, records: Iterable[object]) -> list[object]:
        return self._do("apply")

    def observe(self, outcomes: Iterable[object]) -> None:
        self._do("saw")

    async def tell(self, outcomes: Iterable[object]) -> None:
        self._do("tell")

    async def ack(self, event: object) -> None:
        self._do("ack")

    def _do(self, what: str) -> list[object]:
        if what == self.fails_at:
            raise RuntimeError(what)
        self.done.append(what)
        return []


async def persist(world: Everything) -> None:
    await persist_all(world, world, world, world)  # type: ignore[arg-type]


async def test_a_batch_is_acknowledged_after_it_was_told() -> None:
    """What nobody was told of comes again."""
    world = Everything()

    await persist(world)

    assert world.done == STEPS


@pytest.mark.parametrize("step", STEPS)
async def test_a_surprise_ends_the_process(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Also in the acknowledging itself: an exception that left the loop would acknowledge what Faust still has."""
    world = Everything(fails_at=step)

    def exit_(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(os, "_exit", exit_)
    with pytest.raises(Ended):
        await persist(world)

    assert world.done == STEPS[: STEPS.index(step)]
