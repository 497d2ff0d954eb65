"""The revocations of tokens in memory, as the ledger and Redis keep them."""

from collections.abc import Sequence

from inventory_service.domain.revocations import Revocation, Revocations


class InMemoryRevocations:
    """The port `RevocationTable`."""

    def __init__(self) -> None:
        self._rows = Revocations()

    async def add(self, revocation: Revocation) -> bool:
        is_new = not self._rows.covers(revocation)
        self._rows.add([revocation])
        return is_new

    async def all(self) -> Sequence[Revocation]:
        return self._rows.all()


class InMemoryRevocationStream:
    """The port `RevocationStream`, of one server, which knows what it added itself."""

    async def add(self, revocation: Revocation) -> None:
        """Sent to no other server."""

    async def new(self) -> Sequence[Revocation]:
        return ()


class NoReads:
    """Stands for the metrics of a server process."""

    def read_table(self) -> None:
        """Not counted."""

    def read_stream(self) -> None:
        """Not counted."""
