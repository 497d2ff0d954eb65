"""When an unanswered call is repeated, how long after, and when the client gives up."""

import grpc
import pytest
from holdfast.errors import Details, HoldfastError, NoAnswer, OutcomeUnknown, SaleNotFound, StoreUnreachable
from holdfast.retry import RetryBudget, RetryPolicy

POLICY = RetryPolicy(overall_s=10, attempt_s=4, first_delay_s=1, longest_delay_s=3)


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def error(kind: type[HoldfastError], retry_after_s: float | None = None) -> HoldfastError:
    return kind(grpc.StatusCode.UNAVAILABLE, "away", Details(retry_after_s=retry_after_s))


def budget(clock: Clock, jitter: float = 1.0) -> RetryBudget:
    return RetryBudget(POLICY, clock, lambda: jitter)


def test_delays_double_up_to_the_longest() -> None:
    """A server that is down for long is called less and less often, down to a limit, so that its return is noticed."""
    call = budget(Clock())

    delays = [call.delay_after(error(StoreUnreachable)) for _ in range(4)]

    assert delays == [1, 2, 3, 3]


def test_a_delay_is_jittered_down_to_its_half() -> None:
    """Clients that failed in the same moment repeat at different ones."""
    assert budget(Clock(), jitter=0.0).delay_after(error(StoreUnreachable)) == 0.5


def test_the_servers_retry_delay_is_a_minimum() -> None:
    """RetryInfo is respected, and the jitter comes on top of it."""
    assert budget(Clock(), jitter=0.0).delay_after(error(StoreUnreachable, retry_after_s=5)) == 5.5


def test_a_permanent_error_is_not_repeated() -> None:
    """A repeat would get the same error."""
    with pytest.raises(SaleNotFound):
        budget(Clock()).delay_after(error(SaleNotFound))


def test_the_client_gives_up_before_a_delay_that_no_attempt_could_follow() -> None:
    """A sleep before giving up only makes the caller wait."""
    clock = Clock()
    call = budget(clock)
    clock.now_s += 9.5

    with pytest.raises(StoreUnreachable) as raised:
        call.delay_after(error(StoreUnreachable))

    assert not raised.value.outcome_unknown


def test_one_unknown_outcome_makes_the_whole_call_unknown() -> None:
    """A later attempt that did nothing says nothing about an earlier one whose reply was lost."""
    clock = Clock()
    call = budget(clock)
    call.delay_after(error(OutcomeUnknown))
    clock.now_s += 9

    with pytest.raises(StoreUnreachable) as raised:
        call.delay_after(error(StoreUnreachable))

    assert raised.value.outcome_unknown


def test_no_answer_counts_as_unknown() -> None:
    """A connection that broke may have broken after the server was done."""
    assert error(NoAnswer).outcome_unknown


def test_an_attempts_deadline_is_cut_to_what_is_left() -> None:
    """The last attempt does not outlive the whole call."""
    clock = Clock()
    call = budget(clock)
    first_s = call.attempt_s()
    clock.now_s += 9

    assert (first_s, call.attempt_s()) == (4, 1)
