"""How a shard's Redis may differ from the ledger, and which differences may be ended by loading it from the ledger."""

from enum import StrEnum
from typing import NamedTuple


class Comparison(StrEnum):
    """Where the head of Redis stands to the ledger's."""

    EQUAL = "EQUAL"
    VOID = "VOID"  # a load began: what Redis had is given up already
    BEHIND = "BEHIND"  # at a commit that the ledger has, below its last one: the ledger has all that Redis forgot
    BLANK = "BLANK"  # Redis holds nothing: it lost all, or it is the wrong address or the wrong files
    BEYOND = "BEYOND"  # at a commit that the ledger does not have and cannot take


class Permission(NamedTuple):
    """What may be loaded; what is void is loaded always, unless commits are known to be lost."""

    behind: bool = False
    blank: bool = False
    loss: bool = False  # also if commits are lost that callers heard of
    force: bool = False  # also if Redis is at the ledger's commit: its contents differ
    accepted_by: str = ""  # who accepts a loss

    def allows(self, comparison: Comparison, known_lost: bool) -> bool:
        """Whether a shard may serve again; an equal one is adopted as it is, any other is loaded."""
        if known_lost:
            return self.loss
        return {
            Comparison.EQUAL: True,
            Comparison.VOID: True,
            Comparison.BEHIND: self.behind,
            Comparison.BLANK: self.blank,
            Comparison.BEYOND: self.loss,
        }[comparison]


def remedy(shard: int, comparison: Comparison, known_lost: bool) -> str:
    """What an operator may do about a shard that is not opened by itself."""
    command = f"`holdfast restore --shard {shard}`"
    if known_lost:
        return f"{command} says what is lost, and gives it up with --accept-loss"
    if comparison is Comparison.BLANK:
        return f"unless its files can be put back, {command} loads it from the ledger"
    return f"{command} opens it"


NOTHING = Permission()
ON_REQUEST = Permission(behind=True, blank=True)
# By HOLDFAST_RESTORE: what a relay does by itself.
AUTOMATIC = {"ask": NOTHING, "behind": Permission(behind=True), "always": ON_REQUEST}
