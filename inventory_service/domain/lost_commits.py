"""Which commits of a shard were lost when an epoch began that does not build on all of them."""

from collections.abc import Mapping
from typing import NamedTuple

from inventory_service.domain.shards import CommitId


class LostCommits(NamedTuple):
    """The commits from `first` to `last`, both included, which may be of several epochs."""

    first: CommitId
    last: CommitId
    commits: int  # how many they are; 0: none is lost


def lost_commits(last: CommitId, epoch: int, bases: Mapping[int, CommitId]) -> LostCommits:
    """The commits up to `last` on which a later epoch does not build.

    `bases`: by epoch, the commit on which it builds, 0-0 if on none; KeyError if one that is needed is not there. The
    two histories, that of `last` and that of the epoch, go from base to base until they meet.
    """
    lost, at, kept = LostCommits(last, last, 0), last, bases[epoch]
    while at.epoch and at.epoch != kept.epoch:
        if at.epoch < kept.epoch:
            kept = bases[kept.epoch]
        else:
            lost = lost._replace(first=CommitId(at.epoch, 1), commits=lost.commits + at.seq)
            at = bases[at.epoch]
    if at.seq > kept.seq:
        lost = lost._replace(first=CommitId(at.epoch, kept.seq + 1), commits=lost.commits + at.seq - kept.seq)
    return lost
