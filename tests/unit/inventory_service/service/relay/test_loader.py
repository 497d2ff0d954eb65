"""How large the parts of a load are, how others hear of it, how far it is, and when Redis has no room for it."""

import pytest

from inventory_service.domain.shard_load import CannotLoad, LoadSize
from inventory_service.service.relay import loader
from inventory_service.service.relay.load_progress import LoadProgress, ProgressWriter
from inventory_service.service.relay.loader import PART_SIZE, PART_SIZE_OF_IDLE_REDIS
from tests.unit.inventory_service.service.relay.fake_load import (
    BLANK,
    FENCED,
    PAGE,
    FakeLedger,
    FakeRedis,
    loader_of,
)
from tests.waiting import eventually

VALUES = 4 * PAGE
SIZE = LoadSize(2 * PAGE, 2 * PAGE)


async def is_loaded(ledger: FakeLedger, redis: FakeRedis, told: list[LoadProgress] | None = None) -> bool:
    """Load; whether the shard serves."""
    async with loader_of(ledger, redis, told).load_of(BLANK, FENCED.row) as load:
        assert load is not None
        await load.check_room()
        return await load.run(FENCED)


async def check_room(redis: FakeRedis, buyers: int = SIZE.buyers) -> None:
    async with loader_of(FakeLedger(buyers=buyers), redis).load_of(BLANK, FENCED.row) as load:
        assert load is not None
        await load.check_room()


@pytest.mark.parametrize(("other_serves", "size"), [(True, PART_SIZE), (False, PART_SIZE_OF_IDLE_REDIS)])
async def test_parts_are_small_while_another_shard_of_that_redis_serves(other_serves: bool, size: int) -> None:
    """A part stops Redis while it is written, for all shards; where none serves, no call waits for it."""
    redis = FakeRedis(other_serves)

    assert await is_loaded(FakeLedger(), redis)

    assert (max(redis.sizes), sum(redis.sizes)) == (size, VALUES)


async def test_parts_become_small_once_another_shard_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the loss of a whole Redis the first shard that is loaded serves while the others are being loaded."""
    monkeypatch.setattr(loader, "RENEW_S", 0.001)
    redis = FakeRedis(other_serves=False)

    async def other_shard_opens() -> None:
        await eventually(lambda: sum(redis.sizes) == PAGE)
        redis.other_serves = True
        renewed = redis.renewals + 2  # after the second one the parts fit
        await eventually(lambda: redis.renewals >= renewed)

    assert await is_loaded(FakeLedger(other_shard_opens), redis)

    sizes = [size for size in redis.sizes if size]
    assert sizes[:2] == [PART_SIZE_OF_IDLE_REDIS, PAGE - PART_SIZE_OF_IDLE_REDIS]
    assert (max(sizes[2:]), sum(sizes[2:])) == (PART_SIZE, VALUES - PAGE)


async def test_a_load_is_renewed_also_after_a_renewal_without_a_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes would take it over; and no part of it depends on what became of the renewal."""
    monkeypatch.setattr(loader, "RENEW_S", 0.001)
    redis = FakeRedis()
    redis.answers_renewals = False

    async def three_are_lost() -> None:
        await eventually(lambda: redis.renewals >= 3)
        redis.answers_renewals = True
        await eventually(lambda: redis.renewals >= 5)

    assert await is_loaded(FakeLedger(three_are_lost), redis)

    assert sum(redis.sizes) == VALUES


async def test_two_shards_are_loaded_at_once_and_others_are_told() -> None:
    """A third one would wait in a take-over of its own, where no other process may load it."""
    shards = loader_of(FakeLedger(), FakeRedis())
    first, second, third = (shards.load_of(BLANK._replace(shard=shard), FENCED.row) for shard in range(3))
    async with first as one, second as two, third as three:
        assert None not in (one, two)
        assert three is None

    first, third = (shards.load_of(BLANK._replace(shard=shard), FENCED.row) for shard in (0, 2))
    async with shards.slots.wait(1), shards.slots.wait(2), first as one, third as three:
        assert one is None
        assert three is not None


@pytest.mark.parametrize(
    ("room", "before"),
    [(None, None), (SIZE.bytes, None), (LoadSize(1, 0).bytes, SIZE._replace(reservations=SIZE.reservations - 1))],
    ids=["without a limit", "enough", "enough with what the shard has"],
)
async def test_a_redis_with_room_enough_may_be_loaded(room: int | None, before: LoadSize | None) -> None:
    """What the shard has is dropped first, so its place counts."""
    await check_room(FakeRedis(room=room, before=before))


@pytest.mark.parametrize("before", [None, LoadSize(10, 10)], ids=["blank", "behind"])
async def test_a_redis_without_room_is_not_loaded(before: LoadSize | None) -> None:
    """The scripts of a load write also above `maxmemory`, and nothing could be sold there afterwards."""
    too_little = SIZE.bytes - (before or LoadSize(0, 0)).bytes - 1

    told = r"may take 4\.9 MiB more, and 10,000 reservations and 10,000 buyers need about 4\.9 MiB more: raise its"
    with pytest.raises(CannotLoad, match=told):
        await check_room(FakeRedis(room=too_little, before=before))


async def test_buyers_are_counted_before_a_load_is_refused() -> None:
    """One who bought a thousand times takes room once; the bound that is read first counts each time."""
    await check_room(FakeRedis(room=LoadSize(SIZE.reservations, 10).bytes), buyers=10)


async def test_the_end_of_a_load_is_told_from_its_beginning() -> None:
    """Of reservations and buyers together, so that no later step is left out."""
    told: list[LoadProgress] = []

    assert await is_loaded(FakeLedger(), FakeRedis(), told)

    assert told[0] == LoadProgress(0, PAGE, VALUES)
    assert told[-1] == LoadProgress(0, VALUES, VALUES)


def test_a_line_tells_how_much_is_left_and_how_long_it_takes() -> None:
    """As fast as so far; a line a second at most, and one at the end."""
    seconds = iter([10.0, 10.5, 12.0, 14.0])
    lines: list[str] = []
    writer = ProgressWriter(lines.append, lambda: next(seconds), 1.0)

    for done in (1000, 1500, 2000, 6000):
        writer(LoadProgress(3, done, 6000))

    assert lines == [
        "shard 3: 1,000 of about 6,000 reservations and buyers loaded",
        "shard 3: 2,000 of about 6,000 reservations and buyers loaded, 500 a second, about 8 s left",
        "shard 3: 6,000 reservations and buyers loaded, 1,250 a second",
    ]


def test_a_load_that_begins_anew_is_measured_anew() -> None:
    """Another take-over began, and with it the shard's first part."""
    seconds = iter([10.0, 20.0, 22.0])
    lines: list[str] = []
    writer = ProgressWriter(lines.append, lambda: next(seconds), 0.0)

    for done in (1000, 1000, 3000):
        writer(LoadProgress(3, done, 6000))

    assert lines[-1].endswith("1,000 a second, about 3 s left")
