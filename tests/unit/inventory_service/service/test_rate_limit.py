"""Token buckets: what a caller may take at once and in the long run, what waits, and what is forgotten."""

import asyncio

import pytest

from inventory_service.service.rate_limit import RateLimit

EACH_S = 0.1  # at 10 a second


class Time:
    """A clock that the test moves, and that sleeping moves too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self._yield = asyncio.sleep
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    def __call__(self) -> float:
        return self.now

    async def _sleep(self, seconds: float) -> None:
        ends = self.now + seconds
        await self._yield(0)
        self.now = max(self.now, ends)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.fixture
def limit(time: Time) -> RateLimit:
    """Ten calls a second, five at once."""
    return RateLimit(10, 5, time)


def granted(limit: RateLimit, asked: int, caller: str = "ann") -> int:
    return sum(limit.take(caller) == 0 for _ in range(asked))


def test_a_burst_passes_and_then_each_token_as_it_comes(limit: RateLimit, time: Time) -> None:
    """What is refused costs nothing, and hears when its token is there."""
    assert granted(limit, 9) == 5
    assert limit.take("ann") == pytest.approx(EACH_S)

    time.now += 0.04
    assert limit.take("ann") == pytest.approx(0.06)
    time.now += 0.06
    assert granted(limit, 9) == 1
    time.now += 3600
    assert granted(limit, 9) == 5


def test_the_wait_that_a_caller_hears_is_long_enough(limit: RateLimit, time: Time) -> None:
    """One that obeys it succeeds, whatever the rounding of floats does to the sum."""
    time.now = 1.7e9 + 1 / 3
    granted(limit, 9)
    for _ in range(1000):
        time.now += limit.take("ann")
        assert limit.take("ann") == 0


def test_callers_have_buckets_of_their_own(limit: RateLimit) -> None:
    """A noisy one takes nothing from another."""
    assert granted(limit, 100, "noisy") == 5
    assert granted(limit, 5, "ann") == 5


def test_a_batch_takes_a_token_for_each_request_or_none(limit: RateLimit, time: Time) -> None:
    """The call has taken one before it was read; a batch that is refused gives that back too."""
    assert limit.take("ann") == 0
    assert limit.take_instead("ann", 4) == 0

    assert limit.take("ann") == 0  # the fifth
    time.now += EACH_S
    assert limit.take("ann") == 0
    assert limit.take_instead("ann", 3) == pytest.approx(2 * EACH_S)
    time.now += 2 * EACH_S
    assert limit.take("ann") == 0
    assert limit.take_instead("ann", 3) == 0


def test_a_batch_larger_than_the_bucket_takes_a_full_one_which_then_owes_the_rest(limit: RateLimit, time: Time) -> None:
    """Otherwise it would be refused for ever; the rate in the long run holds."""
    assert (limit.take("ann"), limit.take_instead("ann", 20)) == (0, 0)

    assert limit.take("ann") == pytest.approx(16 * EACH_S)
    time.now += 16 * EACH_S
    assert limit.take("ann") == 0
    assert limit.take_instead("ann", 20) == pytest.approx(4 * EACH_S)


async def test_messages_wait_for_their_tokens_in_the_order_of_asking(limit: RateLimit, time: Time) -> None:
    """A stream never hears THROTTLED; streams of one caller share its bucket."""
    began, served = time.now, list[tuple[int, float]]()

    async def message(number: int) -> None:
        await limit.wait("ann")
        served.append((number, time.now - began))

    await asyncio.gather(*map(message, range(7)))

    assert [number for number, _ in served] == list(range(7))
    assert [after for _, after in served] == pytest.approx([0, 0, 0, 0, 0.1, 0.2, 0.3])
    assert not limit._turns  # nothing is kept of a caller for whom none waits


async def test_what_waits_leaves_a_token_to_the_callers_other_calls(limit: RateLimit, time: Time) -> None:
    """A caller that streams without a pause can still confirm what it holds."""
    for _ in range(20):
        await limit.wait("ann")

    assert limit.take("ann") == 0
    assert limit.take("ann") == pytest.approx(EACH_S)


async def test_a_bucket_of_one_token_serves_what_waits_too(time: Time) -> None:
    """It has none to leave."""
    limit, began = RateLimit(10, 1, time), time.now

    for _ in range(3):
        await limit.wait("ann")

    assert time.now - began == pytest.approx(2 * EACH_S)


async def test_one_that_leaves_while_it_waits_takes_no_token(limit: RateLimit, time: Time) -> None:
    """The next in line gets it."""
    granted(limit, 5)
    first, second = (asyncio.create_task(limit.wait("ann")) for _ in range(2))
    await time._yield(0)

    first.cancel()
    await second

    assert first.cancelled()
    assert time.now == pytest.approx(1000 + 2 * EACH_S)  # two tokens, of which it left one


def test_full_buckets_are_forgotten(limit: RateLimit, time: Time) -> None:
    """So that memory follows the callers of the last moment, not of all time."""
    for number in range(1000):
        limit.take(f"buyer-{number}")
        time.now += EACH_S

    assert len(limit._full_at) <= 2


def test_at_most_so_many_buckets_are_kept(time: Time) -> None:
    """The first to go is the one from which tokens were taken longest ago."""
    limit = RateLimit(10, 5, time, most=3)
    for caller in "abc":
        assert granted(limit, 9, caller) == 5
    limit.take("d")

    assert list(limit._full_at) == ["b", "c", "d"]
    assert granted(limit, 9, "b") == 0


def test_calls_that_are_refused_do_not_make_a_caller_forget_less(time: Time) -> None:
    """A caller cannot have its empty bucket forgotten by calling more."""
    limit = RateLimit(10, 5, time, most=3)
    granted(limit, 5)
    for _ in range(1000):
        assert limit.take("ann") > 0

    assert list(limit._full_at) == ["ann"]
