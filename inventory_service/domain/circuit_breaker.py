"""The circuit breaker before a Redis: when it opens, when it is probed, and when it closes. No I/O and no clock."""

from collections.abc import Callable

FAILURES = 5  # in a row
TICK_S = 0.1  # at least so far apart are the ticks that it is given
LATE_S = 1.0  # for a reply
FIRST_PROBE_S, LONGEST_PROBE_S = 0.25, 2.0  # between the beginnings of two probes


class CircuitBreaker:
    """Opens after failures in a row or when a reply is late; a probe alone closes it, never a request of a caller.

    It counts ticks to know how late a reply is. A process that is halted, or whose event loop is blocked, ticks no
    more, and reads what has come meanwhile before it ticks on for long: its own pause makes no reply late.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.why = ""  # it opened last
        self.on_change: list[Callable[[], None]] = []  # called once it has opened or closed
        self._late_ticks = round(LATE_S / TICK_S)
        self._sent: dict[int, int] = {}  # requests without a reply and the ticks before each, in their order
        self._requests = 0
        self._ticks = 0
        self._failures = 0
        self._probes = 0  # that failed since it opened

    def sent(self) -> int:
        """A request is sent: the number by which to tell how it ended."""
        self._requests += 1
        self._sent[self._requests] = self._ticks
        return self._requests

    def answered(self, request: int) -> None:
        """Redis has answered, whatever it was."""
        if self._sent.pop(request, None) is not None:
            self._failures = 0

    def failed(self, request: int, why: str) -> None:
        """No reply will come, or one that says that Redis cannot serve now."""
        if self._sent.pop(request, None) is None:
            return  # it was late, and has counted
        self._failures += 1
        if self._failures >= FAILURES:
            self._open(why)

    def left(self, request: int) -> None:
        """Its caller has left and does not read the reply."""
        self._sent.pop(request, None)

    @property
    def waits(self) -> bool:
        """Whether replies are due, and ticks are needed."""
        return bool(self._sent)

    def tick(self) -> None:
        """Time has passed, and what had come before was read."""
        self._ticks += 1
        for request, ticks in list(self._sent.items()):
            if self._ticks - ticks <= self._late_ticks:
                return
            del self._sent[request]
            self._open(f"a reply is more than {LATE_S:g} s late")

    @property
    def probe_interval_s(self) -> float:
        """From the opening, or the beginning of a probe, to the beginning of the next one."""
        return float(min(FIRST_PROBE_S * 2**self._probes, LONGEST_PROBE_S))

    def probe_failed(self) -> None:
        """Redis does not serve yet."""
        self._probes += 1

    def probe_succeeded(self) -> None:
        """Redis serves."""
        if self.is_open:
            self.is_open, self._failures = False, 0
            self._tell()

    def _open(self, why: str) -> None:
        if not self.is_open:
            self.is_open, self.why, self._probes = True, why, 0
            self._tell()

    def _tell(self) -> None:
        for listener in self.on_change:
            listener()
