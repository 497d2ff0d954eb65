"""Checks whether a server was initialized for as many shards as HOLDFAST_SHARDS says."""

from collections.abc import Collection

from inventory_service.domain.shards import RESIZING
from inventory_service.server_checks.results import CheckResult, Level, ok_or_fail


def judge_shards(server: str, found: Collection[int], expected: int) -> CheckResult:
    """`found`: every number of shards that the server has stored; 0: a shard that is not open."""
    opened = sorted({number for number in found if number})
    shown = ", ".join(map(str, opened)) or "none"
    if not opened:
        closed = "no shard is open: nothing can be sold yet"
        return CheckResult(server, "shards", shown, Level.NOTE, closed, "run `holdfast init`")
    off = "" if opened == [expected] else f"HOLDFAST_SHARDS is {expected}, and processes refuse to run"
    if 0 in found and not off:
        some = "some shards are not open: they serve no call"
        return CheckResult(server, "shards", shown, Level.NOTE, some, "run `holdfast init`")
    change = f"set HOLDFAST_SHARDS={opened[0]}; {RESIZING}"
    return ok_or_fail(server, "shards", shown, off, "every sale has its place", change)
