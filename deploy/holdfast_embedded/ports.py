"""Find a free loopback port for a server that keeps it across restarts."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections (32768 and up on Linux, 49152 elsewhere).
# A port of that range may be taken by a stranger's connection while its server is down; worse, a client that
# knocks again and again at a closed one can end up connected to itself, and then the server never gets it back.
FIRST_PORT, LAST_PORT = 18_000, 32_000
TRIES = 200

_claims: list[socket.socket] = []  # until this process ends: a server may be down, or not be started yet


def free_port() -> int:
    """Return a port that nobody has, and that nobody else is given by this function as long as this process lives."""
    for _ in range(TRIES):
        port = random.randint(FIRST_PORT, LAST_PORT)
        if (claim := _claimed(port)) is not None:
            _claims.append(claim)
            return port
    raise RuntimeError(f"no free port found on {LOOPBACK} between {FIRST_PORT} and {LAST_PORT} in {TRIES} tries")


def _claimed(port: int) -> socket.socket | None:
    """Bind a port and never listen: other claims fail, while a server, which wants to reuse its address, may listen."""
    claim = socket.socket()
    try:
        claim.bind((LOOPBACK, port))
    except OSError:
        claim.close()
        return None
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return claim
