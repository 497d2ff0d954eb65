"""The embedded broker's process: `python -m holdfast_embedded.broker_process PARTITIONS TOPIC...`.

Prints its address as one line, then obeys one command a line on its standard input (`wipe`, `down`, `up`,
`make TOPIC...`), answering `ok` to each, and ends when its input does.
"""

import signal
import sys

from holdfast_embedded.mock_cluster import MockCluster


def main() -> int:
    """Run the broker until the one who started it closes the pipe or asks us to end."""
    partitions, *topics = sys.argv[1:]
    cluster = MockCluster(tuple(topics), int(partitions))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    commands = {"wipe": cluster.wipe, "down": cluster.set_down, "up": cluster.set_up, "make": cluster.make}
    say(cluster.address)
    for line in sys.stdin:
        command, *names = line.split()
        commands[command](*names)
        say("ok")
    return 0


def say(line: str) -> None:
    """Write one line that is read at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
