"""The embedded broker's process: `python -m holdfast_embedded.broker_process PARTITIONS TOPIC...`.

Prints its address as one line, then reads one command a line from its standard input (`reset-topics`, `down`, `up`,
`create-topics TOPIC...`), prints `ok` after each, and exits at the end of its input.
"""

import signal
import sys

from holdfast_embedded.mock_cluster import MockCluster


def main() -> int:
    """Run the broker until its input ends or SIGTERM comes."""
    partitions, *topics = sys.argv[1:]
    cluster = MockCluster(tuple(topics), int(partitions))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    commands = {
        "reset-topics": cluster.reset_topics,
        "down": cluster.set_down,
        "up": cluster.set_up,
        "create-topics": cluster.create_topics,
    }
    print(cluster.address, flush=True)
    for line in sys.stdin:
        command, *names = line.split()
        commands[command](*names)
        print("ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
