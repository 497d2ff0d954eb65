"""The relay's window: how far it runs ahead, and when it goes back."""

from inventory_service.domain.shards import Commit, CommitId
from inventory_service.domain.window import SendWindow

PATIENCE_S = 3.0


def commits(first: int, last: int, size: int = 10) -> list[Commit]:
    return [Commit(1, seq, b"x" * size, "") for seq in range(first, last + 1)]


def window_with(sent: int, limit: int = 1000) -> SendWindow:
    window = SendWindow(limit, PATIENCE_S)
    window.start(CommitId(1, 0), now=0.0)
    window.confirmed(commits(1, sent), now=0.0)
    return window


def test_it_takes_no_more_than_the_limit() -> None:
    """Kafka, or a small embedded broker, must not be filled with what the ledger cannot take yet."""
    window = window_with(sent=0, limit=35)

    assert len(window.fitting(commits(1, 9))) == 3


def test_one_commit_always_fits_into_an_empty_window() -> None:
    """A commit is never cut, so one that is larger than the window would otherwise never leave."""
    window = window_with(sent=0, limit=35)

    assert len(window.fitting(commits(1, 2, size=500))) == 1


def test_a_report_makes_room() -> None:
    """What the ledger holds is not ahead of it any more."""
    window = window_with(sent=3, limit=35)
    assert not window.fitting(commits(4, 9))

    window.on_progress(CommitId(1, 2), resend=False, now=1.0)

    assert len(window.fitting(commits(4, 9))) == 2
    assert window.cursor == CommitId(1, 3)


def test_a_watermark_above_what_was_sent_moves_the_cursor() -> None:
    """Another relay was faster; its commits need not be sent again."""
    window = window_with(sent=3)

    window.on_progress(CommitId(1, 7), resend=False, now=1.0)

    assert window.cursor == CommitId(1, 7)


def test_a_wish_goes_back_to_the_watermark() -> None:
    """The persister saw a gap: everything above the watermark is sent again."""
    window = window_with(sent=5)

    assert window.on_progress(CommitId(1, 2), resend=True, now=1.0)

    assert window.cursor == CommitId(1, 2)


def test_the_wishes_behind_one_gap_go_back_once() -> None:
    """Every record behind a gap brings the same wish; a flood of repeats would answer them all."""
    window = window_with(sent=5)
    assert window.on_progress(CommitId(1, 2), resend=True, now=1.0)
    window.confirmed(commits(3, 5), now=1.1)

    assert not window.on_progress(CommitId(1, 2), resend=True, now=1.2)
    assert window.on_progress(CommitId(1, 2), resend=True, now=2.5)


def test_a_lost_last_record_is_sent_again() -> None:
    """It leaves no gap, so only a watermark that stands still below it tells."""
    window = window_with(sent=5)
    window.on_progress(CommitId(1, 4), resend=False, now=1.0)
    assert not window.is_stalled(now=1.0)

    window.on_progress(CommitId(1, 4), resend=False, now=1.0 + PATIENCE_S)

    assert window.is_stalled(now=1.0 + PATIENCE_S)
    assert window.cursor == CommitId(1, 4)


def test_a_silent_persister_is_not_sent_repeats() -> None:
    """It is away and has missed nothing; Kafka keeps what was sent."""
    window = window_with(sent=5)

    assert not window.is_stalled(now=1000.0)


def test_a_movement_renews_patience() -> None:
    """A slow ledger is not one that misses something."""
    window = window_with(sent=5)
    for seq in range(1, 5):
        window.on_progress(CommitId(1, seq), resend=False, now=seq * (PATIENCE_S - 0.1))

        assert not window.is_stalled(now=seq * (PATIENCE_S - 0.1))


def test_patience_grows_while_nothing_moves() -> None:
    """A ledger that takes nothing for an hour would otherwise be sent its window a thousand times."""
    window = window_with(sent=5)
    window.on_progress(CommitId(1, 0), resend=False, now=PATIENCE_S)
    assert window.is_stalled(now=PATIENCE_S)
    window.confirmed(commits(1, 5), now=PATIENCE_S)

    window.on_progress(CommitId(1, 0), resend=False, now=2 * PATIENCE_S)
    assert not window.is_stalled(now=2 * PATIENCE_S)
    window.on_progress(CommitId(1, 0), resend=False, now=3 * PATIENCE_S)
    assert window.is_stalled(now=3 * PATIENCE_S)


def test_a_confirmation_that_a_rewind_overtook_is_left_out() -> None:
    """The cursor must stand at the watermark afterwards, or the lost commit between would be skipped."""
    window = window_with(sent=3)
    window.on_progress(CommitId(1, 1), resend=True, now=1.0)

    window.confirmed(commits(4, 6), now=1.1)

    assert window.cursor == CommitId(1, 1)


def test_a_new_epoch_begins_at_its_start() -> None:
    """After a take-over the outbox is empty and the next commit is the first of the new epoch."""
    window = window_with(sent=3)

    window.start(CommitId(2, 0), now=5.0)
    assert window.cursor == CommitId(2, 0)

    window.confirmed([Commit(2, 1, b"x", "")], now=5.0)
    assert window.cursor == CommitId(2, 1)
