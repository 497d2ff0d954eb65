"""A shard's copy of the ledger's list of blocked buyers. The reference for lua/set_blocked.lua.

Each change of the list raises its version, to one that the list never had. Changes reach a copy one by one, and may be
lost, doubled or late; a copy whose version is not the list's is then replaced by the list.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from inventory_service.domain.keys import BuyerKey


class BlockChange(NamedTuple):
    """A buyer was blocked or unblocked in the ledger."""

    buyer: BuyerKey
    is_blocked: bool  # from now on
    before: int  # version of the list before the change
    version: int  # after it; of a call that found the list so already, a version that the list had before it looked

    @property
    def replayed(self) -> bool:
        """Whether it was so already: the list was not changed."""
        return self.before == self.version


@dataclass
class BlockedCopy:
    """The copy of one shard."""

    buyers: dict[BuyerKey, int] = field(default_factory=dict)  # -> a version of the list in which the buyer is
    version: int | None = None  # the copy has every change of the list up to it; None: unknown
    replacement: int | None = None  # version of the list by which the copy is being replaced

    def change(self, change: BlockChange) -> bool:
        """Make one change; False: the copy has it, or what replaced it, so it is not made again."""
        if change.version < (self.replacement or self.version or 0):
            return False
        since = self.buyers.get(change.buyer, -1)
        if change.is_blocked:
            self.buyers[change.buyer] = max(since, change.version)
        elif since <= change.version:
            self.buyers.pop(change.buyer, None)
        if self.version == change.before:
            self.version = change.version
        return True

    def begin(self, version: int, seen: int | None) -> None:
        """Begin to replace the copy by the list of this version; any other replacement ends.

        A copy that was newer before the list was asked, when its version was `seen`, is of a ledger that was set back.
        One that is newer only now has changes that were made since; whom it blocks stays blocked meanwhile.
        """
        if max(self.replacement or 0, seen or 0) > version:
            self.buyers.clear()
        self.version, self.replacement = None, version

    def add(self, version: int, buyers: Sequence[BuyerKey]) -> bool:
        """Add buyers of that list; False: another replacement has begun."""
        if self.replacement == version:
            self.buyers |= dict.fromkeys(buyers, version)
        return self.replacement == version

    def drop_others(self, version: int) -> bool:
        """Drop who is not in that list, but keep who was blocked after it; False: another replacement has begun."""
        if self.replacement != version:
            return False
        self.buyers = {buyer: since for buyer, since in self.buyers.items() if since >= version}
        self.version, self.replacement = version, None
        return True
