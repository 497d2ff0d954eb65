"""What a shard is loaded with, read from commits."""

import pytest

from bench.commits import RELEASED, FakeShard
from inventory_service.domain.shard_load import CannotLoad, final_records, record_at
from inventory_service.domain.shards import CommitId

UNKNOWN_FIELD = b"\xfa\x7f\x00"  # an empty field of number 2047
COMMIT = CommitId(1, 1)


def test_a_commit_of_a_later_version_is_not_loaded() -> None:
    """The record would lack what this version does not know, and be served and changed without it."""
    payload = FakeShard().moves(("r-1", RELEASED)).payload

    assert [record.reservation_id for _, record in final_records(payload, COMMIT)] == ["r-1"]
    with pytest.raises(CannotLoad, match="a newer Holdfast wrote commit 1-1: load the shard with that one"):
        list(final_records(payload + UNKNOWN_FIELD, COMMIT))
    with pytest.raises(CannotLoad):
        record_at(payload + UNKNOWN_FIELD, COMMIT, 0)
