"""The ledger's list of blocked buyers, while others change it between the statements of one call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.keys import BuyerKey

BOB = BuyerKey("default", "bob")


class BusyLedger:
    """A list at version 6 that other calls change after each statement, as READ COMMITTED shows it to the next."""

    def __init__(self) -> None:
        self._version = 6

    def within(self, seconds: float) -> "BusyLedger":
        return self

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["BusyLedger"]:
        yield self

    def transaction(self) -> "BusyLedger":
        return self

    async def start(self) -> None:
        pass

    async def commit(self) -> None:
        pass

    async def execute(self, statement: str, *arguments: str) -> str:
        self._version += 1
        return "DELETE 0"

    async def fetchval(self, statement: str) -> int:
        self._version += 1
        return self._version - 1


async def test_a_call_that_changes_nothing_has_no_version_of_a_later_change() -> None:
    """It may have looked before that change, and would undo it in the copies."""
    ledger = LedgerBuyers(cast(LedgerPool, BusyLedger()))

    assert await ledger.unblock_buyer(*BOB) == BlockChange(BOB, False, before=6, version=6)
