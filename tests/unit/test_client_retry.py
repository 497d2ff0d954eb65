"""When an unanswered call is repeated, how long after, and when patience ends."""

import grpc
import pytest
from holdfast.errors import Details, HoldfastError, NoAnswer, OutcomeUnknown, SaleNotFound, StoreUnreachable
from holdfast.retry import Patience, RetryPolicy

POLICY = RetryPolicy(overall_s=10, attempt_s=4, first_delay_s=1, longest_delay_s=3)


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def error(kind: type[HoldfastError], retry_after_s: float | None = None) -> HoldfastError:
    return kind(grpc.StatusCode.UNAVAILABLE, "away", Details(retry_after_s=retry_after_s))


def patience(clock: Clock, dice: float = 1.0) -> Patience:
    return Patience(POLICY, clock, lambda: dice)


def test_delays_double_up_to_the_longest() -> None:
    """A server that is away for long is asked ever more rarely, but never so rarely that its return goes unnoticed."""
    asked = patience(Clock())

    delays = [asked.delay_after(error(StoreUnreachable)) for _ in range(4)]

    assert delays == [1, 2, 3, 3]


def test_a_delay_is_jittered_down_to_its_half() -> None:
    """Callers that failed in the same moment come back at different ones."""
    assert patience(Clock(), dice=0.0).delay_after(error(StoreUnreachable)) == 0.5


def test_the_servers_wish_is_a_floor() -> None:
    """RetryInfo is respected, and the jitter comes on top of it."""
    assert patience(Clock(), dice=0.0).delay_after(error(StoreUnreachable, retry_after_s=5)) == 5.5


def test_an_answer_of_no_is_not_repeated() -> None:
    """What the server judged stays so however often it is asked."""
    with pytest.raises(SaleNotFound):
        patience(Clock()).delay_after(error(SaleNotFound))


def test_patience_ends_before_a_delay_that_no_attempt_could_follow() -> None:
    """To sleep first and give up then would only make the caller wait."""
    clock = Clock()
    asked = patience(clock)
    clock.now_s += 9.5

    with pytest.raises(StoreUnreachable) as raised:
        asked.delay_after(error(StoreUnreachable))

    assert not raised.value.outcome_unknown


def test_one_unknown_outcome_leaves_the_whole_call_unknown() -> None:
    """A later attempt that did nothing says nothing about an earlier one whose reply was lost."""
    clock = Clock()
    asked = patience(clock)
    asked.delay_after(error(OutcomeUnknown))
    clock.now_s += 9

    with pytest.raises(StoreUnreachable) as raised:
        asked.delay_after(error(StoreUnreachable))

    assert raised.value.outcome_unknown


def test_no_answer_counts_as_unknown() -> None:
    """A connection that broke may have broken after the server was done."""
    assert error(NoAnswer).outcome_unknown


def test_an_attempts_deadline_is_cut_to_what_is_left() -> None:
    """The last attempt does not outlive the whole call."""
    clock = Clock()
    asked = patience(clock)
    first_s = asked.attempt_s()
    clock.now_s += 9

    assert (first_s, asked.attempt_s()) == (4, 1)
