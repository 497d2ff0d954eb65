"""Which commits a later epoch of a shard does not build on: histories of one shard, each told by its epochs' bases."""

import pytest

from inventory_service.domain.lost_commits import LostCommits, lost_commits
from inventory_service.domain.shards import CommitId

OPENED = {10: CommitId(0, 0)}


def after(*bases: str) -> dict[int, CommitId]:
    """Epochs 20, 30 .. of a shard that was opened in epoch 10, each with its base."""
    return OPENED | {20 + 10 * at: commit(base) for at, base in enumerate(bases)}


def commit(name: str) -> CommitId:
    """`epoch-seq`."""
    epoch, _, seq = name.partition("-")
    return CommitId(int(epoch), int(seq))


@pytest.mark.parametrize(
    ("last", "epoch", "bases", "first", "count"),
    [
        pytest.param("10-100", 20, after("10-100"), "", 0, id="nothing is lost"),
        pytest.param("10-100", 20, after("10-120"), "", 0, id="it builds on more than was observed"),
        pytest.param("10-100", 20, after("10-97"), "10-98", 3, id="the end of an epoch"),
        pytest.param("10-3", 20, after("10-0"), "10-1", 3, id="a whole epoch, up to its beginning"),
        pytest.param("10-100", 30, after("10-97", "20-50"), "10-98", 3, id="an epoch was skipped"),
        pytest.param("10-100", 40, after("10-97", "20-0", "30-0"), "10-98", 3, id="two were, without a commit"),
        pytest.param("20-5", 30, after("10-97", "10-97"), "20-1", 5, id="a whole epoch, and its base stands"),
        pytest.param("20-5", 30, after("10-97", "10-90"), "10-91", 12, id="a whole epoch, and the end of another"),
        pytest.param("30-2", 40, after("10-97", "20-4", "10-90"), "10-91", 13, id="two whole epochs, and more"),
        pytest.param("10-4", 20, after("0-0"), "10-1", 4, id="it builds on nothing"),
        pytest.param("0-0", 20, after("10-97"), "", 0, id="nothing was observed before"),
    ],
)
def test_lost_are_the_commits_up_to_the_last_one_observed_on_which_the_epoch_does_not_build(
    last: str, epoch: int, bases: dict[int, CommitId], first: str, count: int
) -> None:
    """`count` of them, from `first` on."""
    assert lost_commits(commit(last), epoch, bases) == LostCommits(commit(first or last), commit(last), count)


@pytest.mark.parametrize(
    "bases",
    [
        pytest.param(OPENED, id="of the new epoch"),
        pytest.param(OPENED | {30: CommitId(20, 5)}, id="of an epoch between"),
        pytest.param({30: CommitId(5, 5)}, id="of an epoch that is lost"),
    ],
)
def test_without_the_base_of_an_epoch_nothing_is_said(bases: dict[int, CommitId]) -> None:
    """What is counted is exact."""
    with pytest.raises(KeyError):
        lost_commits(CommitId(10, 100), 30, bases)
