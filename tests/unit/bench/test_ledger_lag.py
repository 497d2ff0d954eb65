"""How far the ledger is behind: by commits, and by the time since the oldest that it lacks was seen."""

from bench.ledger_lag import Lag


def test_the_oldest_commit_that_is_missing_counts() -> None:
    """Over all shards; one that the ledger has no row of has everything missing."""
    lag = Lag()
    lag.add(10.0, {0: (1, 5), 1: (1, 0)}, {0: (1, 5)})
    lag.add(11.0, {0: (1, 7), 1: (1, 3)}, {0: (1, 5)})
    lag.add(12.0, {0: (1, 8), 1: (1, 3)}, {0: (1, 7), 1: (1, 1)})

    assert [sample[1:] for sample in lag.samples] == [(0, 0.0), (5, 0.0), (3, 1.0)]
    assert not lag.is_caught_up


def test_a_ledger_that_has_everything_is_not_behind() -> None:
    """However long it took."""
    lag = Lag()
    lag.add(10.0, {0: (1, 5)}, {})
    lag.add(15.0, {0: (1, 5)}, {0: (1, 5)})

    assert lag.is_caught_up
    assert lag.samples[-1] == (15.0, 0, 0.0)


def test_another_epoch_begins_at_its_first_commit() -> None:
    """After a take-over the numbers begin anew."""
    lag = Lag()
    lag.add(10.0, {0: (2, 3)}, {0: (1, 900)})

    assert lag.samples[-1][1] == 3


def test_over_time_each_step_has_its_worst_sample() -> None:
    """From the first call on; before, there was nothing to be behind with."""
    lag = Lag()
    lag.samples = [(9.0, 50, 9.0), (10.0, 1, 0.1), (10.3, 4, 0.4), (10.6, 2, 0.2), (11.7, 0, 0.0)]

    figures = lag.figures(start=10.0)

    assert (figures["commits"], figures["seconds"]) == ([4, 2, 0, 0], [0.4, 0.2, 0.0, 0.0])
    assert (figures["p50_s"], figures["p99_s"]) == (0.1, 0.4)


def test_before_the_first_sample_nothing_is_behind() -> None:
    """A run may end within a tenth of a second."""
    assert Lag().figures(start=10.0)["p99_s"] == 0.0
