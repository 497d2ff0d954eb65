"""The checks of the number of shards for which a server was initialized, and of those that are frozen."""

import pytest

from inventory_service.server_checks.results import Level
from inventory_service.server_checks.shards import judge_frozen, judge_shards


@pytest.mark.parametrize(
    ("found", "level"),
    [({4}, Level.OK), ({0, 4}, Level.NOTE), ({0}, Level.NOTE), (set(), Level.NOTE), ({8}, Level.FAIL)],
)
def test_a_server_initialized_for_another_number_of_shards_is_off(found: set[int], level: Level) -> None:
    """One that was not initialized yet only needs `holdfast init`."""
    assert judge_shards("Redis", found, 4).level is level


def test_a_number_that_never_changes_is_explained() -> None:
    """The result says what to do to have another one."""
    found = judge_shards("Redis", {8}, 4)

    assert "HOLDFAST_SHARDS=8" in found.change
    assert "second installation" in found.change


def test_a_frozen_shard_is_noted_with_the_word_of_its_reason() -> None:
    """It breaks no promise, and an operator may have to open it."""
    found = judge_frozen({3: "HASH_DIFFERS: a; NEEDS_RESTORE: b", 1: "WENT_BACK: c"})

    assert (found.level, found.value) == (Level.NOTE, "shard 1: WENT_BACK, shard 3: HASH_DIFFERS")
    assert "`holdfast restore --dry-run`" in found.change
    assert judge_frozen({}).level is Level.OK
