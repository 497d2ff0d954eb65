"""The relay's send window: how far it publishes ahead of the ledger, and when it rewinds."""

from inventory_service.domain.shards import Commit, CommitId
from inventory_service.domain.window import SendWindow

STALL_TIMEOUT_S = 3.0


def commits(first: int, last: int, size: int = 10) -> list[Commit]:
    return [Commit(1, seq, b"x" * size, "") for seq in range(first, last + 1)]


def window_with(sent: int, limit: int = 1000) -> SendWindow:
    window = SendWindow(limit, STALL_TIMEOUT_S)
    window.start(CommitId(1, 0), now=0.0)
    window.confirmed(commits(1, sent), now=0.0)
    return window


def test_the_window_holds_no_more_than_its_limit() -> None:
    """Kafka, or a small embedded broker, must not be filled with commits that the ledger cannot apply yet."""
    window = window_with(sent=0, limit=35)

    assert len(window.fitting(commits(1, 9))) == 3


def test_one_commit_always_fits_into_an_empty_window() -> None:
    """A commit is never cut, so one that is larger than the window would otherwise never be sent."""
    window = window_with(sent=0, limit=35)

    assert len(window.fitting(commits(1, 2, size=500))) == 1


def test_progress_makes_room_in_the_window() -> None:
    """Commits up to the watermark count no longer."""
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


def test_a_resend_request_rewinds_to_the_watermark() -> None:
    """The persister saw a gap: everything above the watermark is sent again."""
    window = window_with(sent=5)

    assert window.on_progress(CommitId(1, 2), resend=True, now=1.0)

    assert window.cursor == CommitId(1, 2)


def test_repeated_resend_requests_of_one_gap_rewind_once() -> None:
    """Every record behind a gap brings the same request, and answering each would flood Kafka with repeats."""
    window = window_with(sent=5)
    assert window.on_progress(CommitId(1, 2), resend=True, now=1.0)
    window.confirmed(commits(3, 5), now=1.1)

    assert not window.on_progress(CommitId(1, 2), resend=True, now=1.2)
    assert window.on_progress(CommitId(1, 2), resend=True, now=2.5)


def test_a_lost_last_record_is_sent_again() -> None:
    """It leaves no gap, so only a watermark that stays below it shows the loss."""
    window = window_with(sent=5)
    window.on_progress(CommitId(1, 4), resend=False, now=1.0)
    assert not window.is_stalled(now=1.0)

    window.on_progress(CommitId(1, 4), resend=False, now=1.0 + STALL_TIMEOUT_S)

    assert window.is_stalled(now=1.0 + STALL_TIMEOUT_S)
    assert window.cursor == CommitId(1, 4)


def test_a_silent_persister_is_not_sent_repeats() -> None:
    """It is down and has missed nothing; Kafka keeps what was sent."""
    window = window_with(sent=5)

    assert not window.is_stalled(now=1000.0)


def test_a_higher_watermark_restarts_the_stall_timeout() -> None:
    """A slow ledger does not lack a record."""
    window = window_with(sent=5)
    for seq in range(1, 5):
        window.on_progress(CommitId(1, seq), resend=False, now=seq * (STALL_TIMEOUT_S - 0.1))

        assert not window.is_stalled(now=seq * (STALL_TIMEOUT_S - 0.1))


def test_the_stall_timeout_grows_while_the_watermark_stays() -> None:
    """Otherwise a ledger that applies nothing for an hour would get its window a thousand times."""
    window = window_with(sent=5)
    window.on_progress(CommitId(1, 0), resend=False, now=STALL_TIMEOUT_S)
    assert window.is_stalled(now=STALL_TIMEOUT_S)
    window.confirmed(commits(1, 5), now=STALL_TIMEOUT_S)

    window.on_progress(CommitId(1, 0), resend=False, now=2 * STALL_TIMEOUT_S)
    assert not window.is_stalled(now=2 * STALL_TIMEOUT_S)
    window.on_progress(CommitId(1, 0), resend=False, now=3 * STALL_TIMEOUT_S)
    assert window.is_stalled(now=3 * STALL_TIMEOUT_S)


def test_a_confirmation_from_before_a_rewind_is_ignored() -> None:
    """The cursor must be at the watermark after the rewind, or the lost commit in between would be skipped."""
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
