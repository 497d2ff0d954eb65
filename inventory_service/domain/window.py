"""Decides, without I/O, how far a relay may publish ahead of the ledger, and when it rewinds to the watermark."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from inventory_service.domain.shards import Commit, CommitId

RESEND_INTERVAL_S = 1.0  # several records behind one gap each bring the same resend request
MAX_STALL_TIMEOUT_S = 60.0


class _Sent(NamedTuple):
    commit_id: CommitId
    size: int


class SendWindow:
    """The commits of one shard that Kafka has confirmed above the watermark, at most `limit` bytes (one commit always).

    The relay rewinds to the watermark when the persister asks for it, and by itself when progress keeps naming a
    watermark below what Kafka has confirmed: then Kafka lost the last record, which no gap shows. A persister that
    publishes no progress is away and lacks nothing. A rewind is always safe, for the ledger drops what it has; the
    stall timeout grows so that a ledger that is merely slow is not flooded with repeats.
    """

    def __init__(self, limit: int, stall_timeout_s: float) -> None:
        self._limit = limit
        self._first_stall_timeout_s = stall_timeout_s
        self.start(CommitId(0, 0), now=0.0)

    def start(self, trimmed: CommitId, now: float) -> None:
        """Start at the first untrimmed commit: when the relay starts, and whenever Redis may have been replaced."""
        self.watermark = trimmed
        self._sent: deque[_Sent] = deque()
        self._bytes = 0
        self._reset_stall(now)
        self._stall_timeout_s = self._first_stall_timeout_s
        self._last_resend: tuple[CommitId, float] | None = None

    @property
    def cursor(self) -> CommitId:
        """The last commit that need not be sent again."""
        return self._sent[-1].commit_id if self._sent else self.watermark

    def fitting(self, commits: Sequence[Commit]) -> Sequence[Commit]:
        """The first of these commits, as many as fit into the window; one always fits into an empty window."""
        room, count = self._limit - self._bytes, 0
        for commit in commits:
            if room < len(commit.payload) and (count or self._sent):
                break
            room -= len(commit.payload)
            count += 1
        return commits[:count]

    def confirmed(self, commits: Sequence[Commit], now: float) -> None:
        """Kafka has confirmed these; what does not follow the cursor, after a rewind or a trim, is left out."""
        for commit in commits:
            if self._follows(commit.commit_id):
                self._sent.append(_Sent(commit.commit_id, len(commit.payload)))
                self._bytes += len(commit.payload)
        self._reset_stall(now)

    def on_progress(self, watermark: CommitId, resend: bool, now: float) -> bool:
        """The ledger's watermark, not below the trim point; True if the relay must rewind."""
        if watermark > self.watermark:
            self._advance(watermark, now)
        elif watermark == self.watermark:
            self._reported = now
        return resend and self._sent != deque() and self._may_resend(watermark, now) and self._rewind(now)

    def is_stalled(self, now: float) -> bool:
        """True if the relay must rewind by itself: progress goes on and the watermark has not moved for the timeout."""
        waited_out = self._reported - self._since >= self._stall_timeout_s
        if not (self._sent and waited_out):
            return False
        self._stall_timeout_s = min(2 * self._stall_timeout_s, MAX_STALL_TIMEOUT_S)
        return self._rewind(now)

    def _follows(self, commit_id: CommitId) -> bool:
        cursor = self.cursor
        return commit_id == CommitId(cursor.epoch, cursor.seq + 1)

    def _advance(self, watermark: CommitId, now: float) -> None:
        while self._sent and self._sent[0].commit_id <= watermark:
            self._bytes -= self._sent.popleft().size
        self.watermark = watermark
        self._stall_timeout_s = self._first_stall_timeout_s
        self._reset_stall(now)

    def _reset_stall(self, now: float) -> None:
        self._since = self._reported = now

    def _may_resend(self, watermark: CommitId, now: float) -> bool:
        repeated = self._last_resend is not None and self._last_resend[0] == watermark
        if repeated and self._last_resend is not None and now - self._last_resend[1] < RESEND_INTERVAL_S:
            return False
        self._last_resend = (watermark, now)
        return True

    def _rewind(self, now: float) -> bool:
        self._sent.clear()
        self._bytes = 0
        self._reset_stall(now)
        return True
