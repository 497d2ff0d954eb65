"""How far a relay may run ahead of the ledger, and when it goes back: decides, and asks nobody."""

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from inventory_service.domain.shards import Commit, CommitId

RESEND_INTERVAL_S = 1.0  # several records behind one gap each bring the same wish
MAX_STALL_TIMEOUT_S = 60.0


class _Sent(NamedTuple):
    commit_id: CommitId
    size: int


class SendWindow:
    """What of one shard Kafka has confirmed above the watermark, at most `limit` bytes (but one commit always).

    The relay goes back to the watermark when the persister asks for it, and by itself when reports keep naming a
    watermark below what Kafka has confirmed, for then Kafka lost the last record, which no gap shows. A persister that
    is silent is away, not missing anything. Going back is never wrong, for the ledger drops what it has; patience grows
    so that a ledger that is merely slow is not buried in repeats.
    """

    def __init__(self, limit: int, stall_timeout_s: float) -> None:
        self._limit = limit
        self._first_stall_timeout_s = stall_timeout_s
        self.start(CommitId(0, 0), now=0.0)

    def start(self, trimmed: CommitId, now: float) -> None:
        """Begin at the first untrimmed commit: at the start, and whenever Redis may be another."""
        self.watermark = trimmed
        self._sent: deque[_Sent] = deque()
        self._bytes = 0
        self._stood_still(now)
        self._stall_timeout_s = self._first_stall_timeout_s
        self._last_resend: tuple[CommitId, float] | None = None

    @property
    def cursor(self) -> CommitId:
        """The last commit that need not be sent now."""
        return self._sent[-1].commit_id if self._sent else self.watermark

    def fitting(self, commits: Sequence[Commit]) -> Sequence[Commit]:
        """The first of these commits, as many as there is room for; one always fits into an empty window."""
        room, count = self._limit - self._bytes, 0
        for commit in commits:
            if room < len(commit.payload) and (count or self._sent):
                break
            room -= len(commit.payload)
            count += 1
        return commits[:count]

    def confirmed(self, commits: Sequence[Commit], now: float) -> None:
        """Kafka has these; what does not follow the cursor, after a rewind or the ledger overtook, is left out."""
        for commit in commits:
            if self._follows(commit.commit_id):
                self._sent.append(_Sent(commit.commit_id, len(commit.payload)))
                self._bytes += len(commit.payload)
        self._stood_still(now)

    def heard(self, watermark: CommitId, resend: bool, now: float) -> bool:
        """The ledger stands here, not below the trim point; True if the relay must go back."""
        if watermark > self.watermark:
            self._rise(watermark, now)
        elif watermark == self.watermark:
            self._reported = now
        return resend and self._sent != deque() and self._may_resend(watermark, now) and self._rewind(now)

    def overdue(self, now: float) -> bool:
        """True if the relay must go back by itself: reports go on, patience is over and the watermark has not moved."""
        waited_out = self._reported - self._since >= self._stall_timeout_s
        if not (self._sent and waited_out):
            return False
        self._stall_timeout_s = min(2 * self._stall_timeout_s, MAX_STALL_TIMEOUT_S)
        return self._rewind(now)

    def _follows(self, commit_id: CommitId) -> bool:
        cursor = self.cursor
        return commit_id == CommitId(cursor.epoch, cursor.seq + 1)

    def _rise(self, watermark: CommitId, now: float) -> None:
        while self._sent and self._sent[0].commit_id <= watermark:
            self._bytes -= self._sent.popleft().size
        self.watermark = watermark
        self._stall_timeout_s = self._first_stall_timeout_s
        self._stood_still(now)

    def _stood_still(self, now: float) -> None:
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
        self._stood_still(now)
        return True
