"""Lets replicas have what a script wrote before a caller hears of it, by commands in the same write as the script's."""

from collections.abc import Sequence

import hiredis

CHANNEL = "holdfast:wait"


class ReplicaWait:
    """WAIT, or WAITAOF where what was written must be in the append-only files too.

    Both wait for what their connection wrote last. A repeat that changes nothing would not wait for the change that it
    repeats, which another connection may have made, a moment ago: a PUBLISH before, which replicas get and no
    client subscribes to, makes that everything until then.
    """

    REPLIES = 2

    def __init__(self, replicas: int, ms: int, in_files: bool = False) -> None:
        self._replicas = replicas
        self.s = ms / 1000
        self._wait: tuple[str | int, ...] = ("WAITAOF", 1, replicas, ms) if in_files else ("WAIT", replicas, ms)
        # Their stub allows one argument only.
        self.packed: bytes = hiredis.pack_command(("PUBLISH", CHANNEL, ""))  # type: ignore[arg-type]
        self.packed += hiredis.pack_command(self._wait)  # type: ignore[arg-type]

    @property
    def command(self) -> str:
        """The command that waits."""
        return str(self._wait[0])

    @property
    def trial(self) -> Sequence[tuple[str | int, ...]]:
        """The same commands for no replica, which wait for a millisecond at most."""
        of_own_file = (1,) if self.command == "WAITAOF" else ()
        return [("PUBLISH", CHANNEL, ""), (self.command, *of_own_file, 0, 1)]

    def missing(self, replies: Sequence[object]) -> str:
        """What the replies to both commands lack; '' if all that was asked for has what was written."""
        for reply in replies:
            if isinstance(reply, Exception):
                return f"{self.command}: {reply}"
        return _missing(replies[-1], self._replicas)


def _missing(reply: object, replicas: int) -> str:
    """WAIT says how many replicas have it, WAITAOF before that whether this server's file has it."""
    local, found = reply if isinstance(reply, list) else (1, reply)
    assert isinstance(found, int), f"a wait answered {reply!r}"
    if not local:
        return "it is not on the disk of Redis in time"
    return f"{found} of {replicas} replicas have it in time" if found < replicas else ""
