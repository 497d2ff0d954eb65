"""When an unanswered call is repeated, how long after, and when the client gives up."""

import grpc
import pytest
from holdfast.errors import (
    Details,
    HoldfastError,
    NoAnswer,
    NotAllowed,
    OutcomeUnknown,
    SaleNotFound,
    StoreUnreachable,
)
from holdfast.retry import BURST_S, Attempts, RetryBudget, RetryPolicy

POLICY = RetryPolicy(overall_s=10, attempt_s=4, first_delay_s=1, longest_delay_s=3)


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def error(kind: type[HoldfastError], retry_after_s: float | None = None) -> HoldfastError:
    return kind(grpc.StatusCode.UNAVAILABLE, "away", Details(retry_after_s=retry_after_s))


def attempts(clock: Clock, jitter: float = 1.0, budget: RetryBudget | None = None) -> Attempts:
    return Attempts(POLICY, budget or RetryBudget(10, clock), clock=clock, jitter=lambda: jitter)


def test_delays_double_up_to_the_longest() -> None:
    """A server that is down for long is called less and less often, down to a limit, so that its return is noticed."""
    call = attempts(Clock())

    delays = [call.delay_after(error(StoreUnreachable)) for _ in range(4)]

    assert delays == [1, 2, 3, 3]


def test_a_delay_is_jittered_down_to_its_half() -> None:
    """Clients that failed in the same moment repeat at different ones."""
    assert attempts(Clock(), jitter=0.0).delay_after(error(StoreUnreachable)) == 0.5


def test_the_servers_retry_delay_is_a_minimum() -> None:
    """RetryInfo is respected, and the jitter comes on top of it."""
    assert attempts(Clock(), jitter=0.0).delay_after(error(StoreUnreachable, retry_after_s=5)) == 5.5


def test_a_permanent_error_is_not_repeated() -> None:
    """A repeat would get the same error."""
    with pytest.raises(SaleNotFound):
        attempts(Clock()).delay_after(error(SaleNotFound))


def test_the_client_gives_up_before_a_delay_that_no_attempt_could_follow() -> None:
    """A sleep before giving up only makes the caller wait."""
    clock = Clock()
    call = attempts(clock)
    clock.now_s += 9.5

    with pytest.raises(StoreUnreachable) as raised:
        call.delay_after(error(StoreUnreachable))

    assert not raised.value.outcome_unknown


def test_the_client_gives_up_before_an_attempt_that_is_too_short() -> None:
    """A server refuses it, or gRPC ends it, and neither tells that nothing was done, as the error before does."""
    clock = Clock()
    call = attempts(clock)
    clock.now_s += 10 - 1 - 0.01

    with pytest.raises(StoreUnreachable):
        call.delay_after(error(StoreUnreachable))


def test_one_unknown_outcome_makes_the_whole_call_unknown() -> None:
    """A later attempt that did nothing says nothing about an earlier one whose reply was lost."""
    clock = Clock()
    call = attempts(clock)
    call.delay_after(error(OutcomeUnknown))
    clock.now_s += 9

    with pytest.raises(StoreUnreachable) as raised:
        call.delay_after(error(StoreUnreachable))

    assert raised.value.outcome_unknown


def test_an_answer_that_judged_nothing_leaves_it_unknown() -> None:
    """A token that has run out says nothing about the attempt before."""
    call = attempts(Clock())
    call.delay_after(error(OutcomeUnknown))

    with pytest.raises(NotAllowed) as raised:
        call.delay_after(error(NotAllowed))

    assert raised.value.outcome_unknown


def test_an_answer_that_was_judged_tells_what_became_of_it() -> None:
    """The server looked: had an attempt before been done, it would have said so."""
    call = attempts(Clock())
    call.delay_after(error(OutcomeUnknown))

    with pytest.raises(SaleNotFound) as raised:
        call.delay_after(error(SaleNotFound))

    assert not raised.value.outcome_unknown


def test_an_attempt_that_is_out_may_have_done_it() -> None:
    """Until its answer comes."""
    call = attempts(Clock())

    states = [call.outcome_unknown]
    call.begin()
    states.append(call.outcome_unknown)
    call.delay_after(error(StoreUnreachable))
    states.append(call.outcome_unknown)

    assert states == [False, True, False]


def test_no_answer_counts_as_unknown() -> None:
    """A connection that broke may have broken after the server was done."""
    assert error(NoAnswer).outcome_unknown


def test_an_attempts_deadline_is_cut_to_what_is_left() -> None:
    """The last attempt does not outlive the whole call."""
    clock = Clock()
    call = attempts(clock)
    first_s = call.begin()
    clock.now_s += 9

    assert (first_s, call.begin()) == (4, 1)


def repeats_left(budget: RetryBudget) -> int:
    """Take all that is left."""
    count = 0
    while budget.take():
        count += 1
    return count


def test_a_client_repeats_a_tenth_of_its_calls_and_ten_a_second() -> None:
    """A server that is slow because it has too much to do is not given as much again."""
    clock = Clock()
    budget = RetryBudget(10, clock)

    at_first = repeats_left(budget)
    clock.now_s += 1
    after_a_second = repeats_left(budget)
    for _ in range(205):
        budget.add_call()
    after_calls = repeats_left(budget)
    clock.now_s += 1000
    after_long = repeats_left(budget)

    assert (at_first, after_a_second, after_calls, after_long) == (10 * BURST_S, 10, 20, 10 * BURST_S)


def test_a_call_without_budget_raises_its_error_at_once() -> None:
    """It does not wait for budget, for all the calls that wait would be sent together."""
    clock = Clock()
    budget = RetryBudget(10, clock)
    call = attempts(clock, budget=budget)
    repeats_left(budget)

    with pytest.raises(StoreUnreachable):
        call.delay_after(error(StoreUnreachable))
