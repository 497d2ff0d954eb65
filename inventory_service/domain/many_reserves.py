"""Ports for the Reserves of a batch or a stream: many are under way, and each result is passed on as it comes."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from inventory_service.domain.plain_reserve import PlainReserve, PlainResult
from inventory_service.domain.reserve import Reserve

Claim: TypeAlias = Reserve | PlainReserve
# Gets the result of the request with this key, or the exception that judging it ended with. Results of other requests
# wait while it runs, so it only stores what it gets, and never raises.
OnResult: TypeAlias = Callable[[Any, PlainResult | Exception], None]


class ReserveGroup(Protocol):
    """The requests of one batch or one stream."""

    def ask(self, keys: Sequence[Any], requests: Sequence[Claim]) -> None:
        """Ask for these, in their order; results may come before this returns."""
        ...

    async def close(self) -> None:
        """No result comes from now on, and what was not sent is dropped."""
        ...


class ManyReserves(Protocol):
    """A stock for calls that ask for many units at once: the requests of each call are one group."""

    def begin(self, on_result: OnResult) -> ReserveGroup: ...
