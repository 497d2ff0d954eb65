"""The circuit breaker: what opens it, how often Redis is probed then, and what closes it."""

import pytest

from inventory_service.domain.circuit_breaker import LATE_S, TICK_S, CircuitBreaker

FAILURES = 5  # as the docs say
LATE_TICKS = round(LATE_S / TICK_S)


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker()


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.sent(), "refused")


def tick(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.tick()


def test_failures_in_a_row_open_it(breaker: CircuitBreaker) -> None:
    """A single lost connection is no outage."""
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open
    fail(breaker)

    assert (breaker.is_open, breaker.why) == (True, "refused")


def test_a_reply_in_between_begins_the_row_anew(breaker: CircuitBreaker) -> None:
    """A Redis that answers serves."""
    for _ in range(3):
        fail(breaker, FAILURES - 1)
        breaker.answered(breaker.sent())

    assert not breaker.is_open


def test_a_reply_that_is_a_second_late_opens_it(breaker: CircuitBreaker) -> None:
    """The first tick may come right after a request, so one more is waited for."""
    tick(breaker, 7)
    breaker.sent()
    tick(breaker, LATE_TICKS)
    assert not breaker.is_open
    tick(breaker)

    assert (breaker.is_open, breaker.why) == (True, "a reply is more than 1 s late")


def test_a_reply_in_time_opens_nothing(breaker: CircuitBreaker) -> None:
    """However many there are, and in whichever order they come."""
    for _ in range(5):
        requests = [breaker.sent() for _ in range(3)]
        tick(breaker, LATE_TICKS)
        for request in reversed(requests):
            breaker.answered(request)

    tick(breaker, 100)
    assert (breaker.is_open, breaker.waits) == (False, False)


def test_a_late_reply_counts_once(breaker: CircuitBreaker) -> None:
    """What becomes of it later neither opens nor closes anything."""
    late = [breaker.sent() for _ in range(2 * FAILURES)]
    tick(breaker, LATE_TICKS + 1)
    breaker.probe_succeeded()

    for request in late[:-1]:
        breaker.failed(request, "no reply in time")
    breaker.answered(late[-1])
    tick(breaker, 100)

    assert not breaker.is_open


def test_the_reply_to_a_caller_that_left_is_not_waited_for(breaker: CircuitBreaker) -> None:
    """No one reads it."""
    breaker.left(breaker.sent())
    tick(breaker, 100)

    assert not breaker.is_open


def test_a_probe_alone_closes_it(breaker: CircuitBreaker) -> None:
    """A request of a caller that was sent before may have been the last one that Redis answered."""
    sent = breaker.sent()
    fail(breaker, FAILURES)

    breaker.answered(sent)
    assert breaker.is_open
    breaker.probe_succeeded()

    assert not breaker.is_open
    fail(breaker, FAILURES - 1)
    assert not breaker.is_open


def test_probes_grow_rarer_up_to_two_seconds_and_begin_anew_with_each_opening(breaker: CircuitBreaker) -> None:
    """A Redis that restarts is found at once, and one that is gone is left in peace."""
    fail(breaker, FAILURES)
    intervals = []
    for _ in range(6):
        intervals.append(breaker.probe_interval_s)
        breaker.probe_failed()
    breaker.probe_succeeded()
    fail(breaker, FAILURES)

    assert intervals == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert breaker.probe_interval_s == 0.25


def test_each_change_is_told_once(breaker: CircuitBreaker) -> None:
    """For the log, the metrics, and what waits."""
    told: list[bool] = []
    breaker.on_change.append(lambda: told.append(breaker.is_open))

    fail(breaker, 3 * FAILURES)
    breaker.probe_failed()
    breaker.probe_succeeded()
    breaker.probe_succeeded()

    assert told == [True, False]
