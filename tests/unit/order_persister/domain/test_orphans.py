"""What is kept of a commit whose epoch is over."""

import pytest
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event

from bench.commits import CONFIRMED, HELD, RETURNED, FakeShard
from inventory_service.domain import orphans as relay
from inventory_service.domain.shards import Commit
from order_persister.domain.chain import ReceivedCommit
from order_persister.domain.orphans import EPOCH_IS_OVER, Orphan, orphans_from


def test_every_change_is_listed() -> None:
    """People make good what callers heard of, so they need to know of whom, and of what."""
    shard = FakeShard()
    shard.open_sale(lamp=5)
    shard.moves(("r-1", HELD), ("r-2", HELD), buyer="ann", lamp=2)
    shard.moves(("r-1", CONFIRMED))
    received = [ReceivedCommit(0, made.epoch, made.seq, made.payload, made.hash) for made in shard.commits]
    made, held, confirmed = shard.commits

    orphans = list(orphans_from(received))

    who = ("default", "lamp-sale", "r-1", "ann", [("lamp", 2)])
    assert orphans[0] == Orphan(
        1, made.seq, 0, made.hash, "default", "lamp-sale", "", "", [], "SALE_MADE", EPOCH_IS_OVER
    )
    assert orphans[1] == Orphan(1, held.seq, 0, held.hash, *who, "HELD", EPOCH_IS_OVER)
    assert orphans[3] == Orphan(1, confirmed.seq, 0, confirmed.hash, *who, "CONFIRMED", EPOCH_IS_OVER)
    assert len(orphans) == 4


def test_both_services_list_what_callers_were_told() -> None:
    """The row that comes first stays: the persister's, which has a commit from Kafka, or the relay's, from Redis."""
    shard = FakeShard()
    shard.moves(("r-1", HELD), lamp=2)
    shard.move("r-1", HELD, shade=(3, 0, 0))
    shard.move("r-1", CONFIRMED, shade=(3, 2, 0))
    shard.move("r-1", CONFIRMED, shade=(3, 2, 1))
    shard.move("r-1", RETURNED, shade=(3, 2, 2))
    shard.commit(Event())  # of a kind that neither knows
    received = [ReceivedCommit(0, made.epoch, made.seq, made.payload, made.hash) for made in shard.commits]
    of_redis = [orphan for made in shard.commits for orphan in relay.orphans_from(0, Commit(**vars(made)), "")]

    lines = [dict(orphan.lines) for orphan in orphans_from(received)]

    assert lines == [{"lamp": 2}, {"shade": 3}, {"shade": 2}, {"shade": 1}, {"shade": 3}]
    assert [(dict(orphan.lines), orphan.state) for orphan in of_redis] == [
        (dict(orphan.lines), orphan.state) for orphan in orphans_from(received)
    ]


@pytest.mark.parametrize("payload", [b"\xff", CommitBody(events=[Event()]).SerializeToString()])
def test_a_commit_that_this_version_does_not_understand_has_no_changes(payload: bytes) -> None:
    """Its bytes are quarantined, like those of the others."""
    assert list(orphans_from([ReceivedCommit(0, 1, 2, payload, "")])) == []
