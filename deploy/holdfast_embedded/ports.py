"""Find a free loopback port for a server that keeps it across restarts."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections (32768 and up on Linux, 49152 elsewhere).
# A port of that range may be taken by a stranger's connection while its server is down; worse, a client that
# knocks again and again at a closed one can end up connected to itself, and then the server never gets it back.
FIRST_PORT, LAST_PORT = 18_000, 32_000
TRIES = 200


def free_port() -> int:
    """Return a port on which nobody listens at this moment."""
    for _ in range(TRIES):
        port = random.randint(FIRST_PORT, LAST_PORT)
        if is_free(port):
            return port
    raise RuntimeError(f"no free port found on {LOOPBACK} between {FIRST_PORT} and {LAST_PORT} in {TRIES} tries")


def is_free(port: int) -> bool:
    """Say whether a server could listen here now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
