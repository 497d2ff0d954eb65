"""How shards come to serve again after a fault: by themselves, or by the one command that the log names."""

import asyncio
import re
from collections.abc import Iterable
from enum import StrEnum

from holdfast.errors import HoldfastError, SaleNotFound, TryLater

from tests.fault_stack import FaultStack, client_without_retries
from tests.faults.independent_checker import Announced
from tests.waiting import eventually

SERVES_S = 90.0  # a relay retries a failed take-over after half a minute at most
NAMES_COMMAND_S = 60.0
SHOWN_MORE = "Kafka has shown the ledger commit"


class Opening(StrEnum):
    """What has to be done so that every shard serves again."""

    BY_ITSELF = "by itself"
    RESTORE = "restore"
    ACCEPT_LOSS = "restore --accept-loss"
    INIT = "init"


class Log:
    """The lines that the processes of a stack have written."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_line(self, name: str, line: str) -> None:
        """Take a line; pytest shows it if the test fails."""
        self.lines.append(f"{name}: {line}")
        print(f"{name}: {line}")

    def names(self, command: str, since: int) -> bool:
        """Whether a line names this command of `holdfast`, from this line on."""
        return any(re.search(rf"\bholdfast {re.escape(command)}\b", line) for line in self.lines[since:])

    def shows_more(self, since: int) -> bool:
        """Whether a line says that Kafka has shown the ledger more than it has, from this line on."""
        return any(SHOWN_MORE in line for line in self.lines[since:])

    def announced(self) -> list[Announced]:
        """The commits that processes have logged as acknowledged and lost."""
        found = (_ACKNOWLEDGED_AND_LOST.search(line) for line in self.lines)
        return [
            Announced(int(words["shard"]), _commit(words["first"]), _commit(words["last"])) for words in found if words
        ]


_ACKNOWLEDGED_AND_LOST = re.compile(
    r"acknowledged_and_lost .*\bfirst=(?P<first>\S+) .*\blast=(?P<last>\S+) .*\bshard=(?P<shard>\d+)"
)


def _commit(name: str) -> tuple[int, int]:
    epoch, _, seq = name.partition("-")
    return int(epoch), int(seq)


async def reopen(
    stack: FaultStack, log: Log, since: int, opening: Opening, sales: Iterable[str], may_show_more: bool
) -> Opening:
    """Do what has to be done, and no more; AssertionError if it is not enough, or if less would have been.

    Returns what it was. The ledger may know of commits that no store has any more: from a record that it had read and
    not applied, or from a batch that the relay was sending when Kafka went, and sends to the Kafka that comes back.
    """
    if opening is Opening.BY_ITSELF and may_show_more and await is_shown_more(stack, log, since, sales):
        opening = Opening.ACCEPT_LOSS
    if opening is not Opening.BY_ITSELF:
        command = opening.value.split()[0]
        await eventually(lambda: log.names(command, since), NAMES_COMMAND_S)
        opening = await _run_named(stack, opening, sales, may_show_more)
    await serve_again(stack, sales)
    return opening


async def _run_named(stack: FaultStack, opening: Opening, sales: Iterable[str], may_show_more: bool) -> Opening:
    """Run the command, and with --accept-loss if it says that there is a loss; AssertionError if it may not say so."""
    command, *options = opening.value.split()
    result = await stack.run(command)
    if opening is Opening.RESTORE and may_show_more and SHOWN_MORE in result.stdout:
        opening, options = Opening.ACCEPT_LOSS, ["--accept-loss"]
    expected = 1 if opening is Opening.ACCEPT_LOSS else 0
    assert result.code == expected, f"`holdfast {command}` ended with {result.code}, not {expected}: {result}"
    if opening is Opening.ACCEPT_LOSS:
        assert await unserved(stack, sales), "shards serve although the loss is not accepted"
        accepted = await stack.run(command, *options)
        assert accepted.code == 0, f"`holdfast {opening}` ended with {accepted.code}: {accepted}"
    return opening


async def is_shown_more(stack: FaultStack, log: Log, since: int, sales: Iterable[str]) -> bool:
    """Wait until the shards serve, or a process says that the ledger was shown more than it has."""

    async def is_decided() -> bool:
        """Every shard serves, or a loss is known."""
        if log.shows_more(since):
            return True
        why_not = await unserved(stack, sales)
        assert not why_not, why_not
        return True

    await eventually(is_decided, SERVES_S)
    return log.shows_more(since)


async def serve_again(stack: FaultStack, sales: Iterable[str]) -> None:
    """Return when every sale is served, or known to be gone."""

    async def all_are_served() -> bool:
        """Every shard serves."""
        why_not = await unserved(stack, sales)
        assert not why_not, why_not
        return True

    await eventually(all_are_served, SERVES_S)


async def unserved(stack: FaultStack, sales: Iterable[str]) -> dict[str, str]:
    """The sales for which calls fail, and why."""
    async with client_without_retries(stack.running) as client:

        async def why_not(sale_id: str) -> str:
            try:
                await client.get_sale(sale_id)
            except SaleNotFound:
                return ""
            except TryLater as error:
                return describe(error)
            return ""

        sale_ids = list(sales)
        reasons = await asyncio.gather(*map(why_not, sale_ids))
        return {sale_id: why for sale_id, why in zip(sale_ids, reasons, strict=True) if why}


def describe(error: HoldfastError) -> str:
    """The reason of an error and, of a frozen shard, why it is frozen."""
    return f"{error.reason} {error.metadata.get('frozen_reason', '')}".strip()
