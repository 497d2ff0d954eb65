"""Finds a free loopback port for a server that keeps it across restarts."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Below the ephemeral range, from which the kernel takes ports for outgoing connections (32768 and up on Linux, 49152
# elsewhere). An outgoing connection of any process may take an ephemeral port while its server is down; worse, a client
# that retries a closed port of that range can end up connected to itself, and the server never gets the port back.
FIRST_PORT, LAST_PORT = 18_000, 32_000
TRIES = 200

_reservations: list[socket.socket] = []  # until this process ends: a server may be down, or not be started yet


def free_port() -> int:
    """Return a port that is not in use, and reserve it as long as this process lives."""
    for _ in range(TRIES):
        port = random.randint(FIRST_PORT, LAST_PORT)
        if (reservation := _reserve(port)) is not None:
            _reservations.append(reservation)
            return port
    raise RuntimeError(f"no free port found on {LOOPBACK} between {FIRST_PORT} and {LAST_PORT} in {TRIES} tries")


def _reserve(port: int) -> socket.socket | None:
    """Bind a port without listening: a second reservation fails, and a server with SO_REUSEADDR can still listen."""
    reservation = socket.socket()
    try:
        reservation.bind((LOOPBACK, port))
    except OSError:
        reservation.close()
        return None
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return reservation
