"""Up to when a list is complete: of each shard the moment of its head if the ledger has that, else the watermark's."""

import pytest

from inventory_service.domain.lists import ShardMoment, Watermark, complete_time_ms
from inventory_service.domain.shards import CommitId

NOW = 9000
HEAD = CommitId(7, 5)
AT_HEAD = Watermark(HEAD, 4000)


def watermark(epoch: int, seq: int, time_ms: int = 4000) -> Watermark:
    return Watermark(CommitId(epoch, seq), time_ms)


@pytest.mark.parametrize(
    ("moment", "found", "complete_ms"),
    [
        (ShardMoment(NOW, HEAD), AT_HEAD, NOW),
        (ShardMoment(NOW, HEAD), watermark(7, 6), NOW),  # applied between the two reads
        (ShardMoment(NOW, HEAD), watermark(7, 4), 4000),
        (ShardMoment(NOW, HEAD), watermark(6, 9), 4000),
        (ShardMoment(NOW, HEAD), watermark(8, 0), 4000),  # the end of epoch 7 may be lost
        (ShardMoment(NOW, None), AT_HEAD, 4000),  # it does not serve: what it says of its head may be old
        (None, AT_HEAD, 4000),  # Redis is away
        (None, watermark(7, 0, 0), None),
        (ShardMoment(NOW, CommitId(7, 0)), watermark(7, 0, 0), NOW),  # nothing was ever committed
        (ShardMoment(NOW, HEAD), None, None),
    ],
)
def test_a_shard(moment: ShardMoment | None, found: Watermark | None, complete_ms: int | None) -> None:
    """Never later than is true."""
    assert complete_time_ms({0: moment}, {0: found} if found else {}) == complete_ms


def test_several_shards_are_complete_up_to_the_earliest() -> None:
    """One of which nothing is known leaves all unknown."""
    moments = {0: ShardMoment(NOW, HEAD), 1: ShardMoment(NOW + 50, HEAD)}

    assert complete_time_ms(moments, {0: AT_HEAD, 1: AT_HEAD}) == NOW
    assert complete_time_ms(moments, {0: AT_HEAD, 1: watermark(7, 4, 300)}) == 300
    assert complete_time_ms(moments, {0: AT_HEAD}) is None
