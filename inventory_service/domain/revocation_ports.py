"""The two stores of revocations as a server uses them: the ledger's table, and the stream in Redis."""

from collections.abc import Sequence
from typing import Protocol

from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import Revocation


class RevocationTable(Protocol):
    """All revocations whose tokens can be valid. `LedgerUnavailable` if the ledger does not answer."""

    async def add(self, revocation: Revocation) -> bool:
        """Add one; False: the table has it, or one that covers it. `LedgerOutcomeUnknown` if it may have been added."""
        ...

    async def all(self) -> Sequence[Revocation]: ...


class RevocationStream(Protocol):
    """The same as far as Redis has them, for servers to learn of new ones soon."""

    async def add(self, revocation: Revocation) -> Failure | None:
        """Add one, also if the stream has it; a failure if Redis did not answer."""
        ...

    async def new(self) -> Sequence[Revocation]:
        """Those that were added since the last call, which may be told again; `RedisUnavailable`."""
        ...
