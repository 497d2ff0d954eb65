"""Checks the shards: their number, those that are frozen, losses of late, and what the ledger could not apply."""

from collections.abc import Collection, Mapping, Sequence

from inventory_service.domain.shards import RESIZING
from inventory_service.server_checks.results import CheckResult, Level, ok_or_fail

OPEN = "run `holdfast init`, or `holdfast restore` if they were open before"


def judge_shards(server: str, found: Collection[int], expected: int) -> CheckResult:
    """`found`: every number of shards that the server has stored; 0: a shard that is not open."""
    opened = sorted({number for number in found if number})
    shown = ", ".join(map(str, opened)) or "none"
    if not opened:
        closed = "no shard is open: nothing can be sold yet"
        return CheckResult(server, "shards", shown, Level.NOTE, closed, OPEN)
    off = "" if opened == [expected] else f"HOLDFAST_SHARDS is {expected}, and processes refuse to run"
    if 0 in found and not off:
        some = "some shards are not open: they serve no call"
        return CheckResult(server, "shards", shown, Level.NOTE, some, OPEN)
    change = f"set HOLDFAST_SHARDS={opened[0]}; {RESIZING}"
    return ok_or_fail(server, "shards", shown, off, "every sale has its place", change)


def judge_frozen(reasons: Mapping[int, str]) -> CheckResult:
    """`reasons`: those of the frozen shards."""
    words = (f"shard {shard}: {reason.partition(':')[0]}" for shard, reason in sorted(reasons.items()))
    setting, shown = "frozen shards", ", ".join(words) or "none"
    if not reasons:
        return CheckResult("Redis", setting, shown, Level.OK, "every shard may serve")
    told = "they serve no call until their cause is gone; nothing is sold twice or lost meanwhile"
    return CheckResult("Redis", setting, shown, Level.NOTE, told, "`holdfast restore --dry-run` says what opens each")


def judge_losses(server: str, lost: Sequence[int]) -> CheckResult:
    """`lost`: the shards of which commits were given up within a day, when they were opened again."""
    setting, shown = "commits given up", ", ".join(f"shard {shard}" for shard in lost) or "none"
    if not lost:
        return CheckResult(server, setting, shown, Level.OK, "no shard was opened without commits known to be lost")
    told = "a shard was opened within a day although commits were lost that callers may know of"
    change = "see `holdfast orphans` for the reservations that are known, and make them good"
    return CheckResult(server, setting, shown, Level.NOTE, told, change)


def judge_quarantined(server: str, kept: Mapping[int, int]) -> CheckResult:
    """`kept`: by shard, how many records and commits are quarantined."""
    setting = "quarantined records"
    shown = ", ".join(f"shard {shard}: {count}" for shard, count in sorted(kept.items())) or "none"
    if not kept:
        return CheckResult(server, setting, shown, Level.OK, "the ledger could apply all that it was sent")
    told = "the ledger could not apply these records and commits, and keeps their bytes"
    change = "see `why` in the table quarantined_record; delete the rows once they are explained"
    return CheckResult(server, setting, shown, Level.NOTE, told, change)
