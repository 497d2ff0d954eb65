"""Ports for the Reserves of a batch or a stream: many are under way, and each answer is handed over as it comes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from inventory_service.domain.plain_reserve import PlainReserve, PlainResult
from inventory_service.domain.reserve import Reserve

Claim: TypeAlias = Reserve | PlainReserve
# Takes the answer to the request that was asked under a key, or the exception that judging it ended with. It is called
# where other requests wait for their answers, so it only puts away what it gets, and never raises.
Take: TypeAlias = Callable[[Any, PlainResult | Exception], None]


class Asking(Protocol):
    """The requests of one batch or one stream."""

    def ask(self, keys: Sequence[Any], requests: Sequence[Claim]) -> None:
        """Ask for these, in their order; an answer may be taken before this returns."""
        ...

    async def close(self) -> None:
        """No answer is taken from now on, and what was not sent is dropped."""
        ...


class ManyReserves(Protocol):
    """A stock as those see it who ask for many."""

    def begin(self, take: Take) -> Asking: ...
