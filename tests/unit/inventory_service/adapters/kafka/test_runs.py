"""Runs of commits to Kafka records."""

from inventory_service.adapters.kafka.runs import RECORD_BYTES, runs_from_commits
from inventory_service.domain.shards import Commit, hash_of
from tests.records import commits_from_record


def chain(count: int, size: int = 100, epoch: int = 1, first: int = 1) -> list[Commit]:
    made, last = [], ""
    for seq in range(first, first + count):
        payload = seq.to_bytes(4, "big") * (size // 4)
        last = hash_of(last, payload)
        made.append(Commit(epoch, seq, payload, last))
    return made


def test_a_record_gives_back_what_was_put_in() -> None:
    """Payload and hash travel verbatim, or the ledger would see a broken chain."""
    commits = chain(5)

    (run,) = runs_from_commits(3, commits)

    assert commits_from_record(run.value) == (3, commits)


def test_a_record_stays_below_its_limit() -> None:
    """Kafka refuses what is too large, tags and hashes included."""
    runs = runs_from_commits(0, chain(1000, size=5000))

    assert all(len(run.value) <= RECORD_BYTES for run in runs)
    assert [commit.seq for run in runs for commit in run.commits] == list(range(1, 1001))
    assert len(runs) < 25


def test_a_commit_is_never_cut() -> None:
    """One that is larger than a record makes a record of its own."""
    runs = runs_from_commits(0, chain(3, size=RECORD_BYTES + 4))

    assert [len(run.commits) for run in runs] == [1, 1, 1]


def test_a_record_holds_no_gap_and_one_epoch() -> None:
    """Only the first seq is written down; the others follow."""
    commits = [*chain(2), *chain(2, first=4), *chain(2, epoch=2)]

    runs = runs_from_commits(0, commits)

    assert [[(commit.epoch, commit.seq) for commit in run.commits] for run in runs] == [
        [(1, 1), (1, 2)],
        [(1, 4), (1, 5)],
        [(2, 1), (2, 2)],
    ]


def test_no_commits_make_no_record() -> None:
    """An idle outbox sends nothing."""
    assert runs_from_commits(0, []) == []
