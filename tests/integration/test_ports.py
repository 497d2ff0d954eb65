"""The ports of servers are chosen so that each still has its own when it starts, and after each restart."""

import socket

import pytest
from holdfast_embedded.ports import LOOPBACK, free_port


def test_a_port_lies_below_those_of_outgoing_connections() -> None:
    """A client that connects to a closed port of that range can end up connected to itself."""
    linux_begins_at = 32_768

    assert all(free_port() < linux_begins_at for _ in range(20))


def test_a_port_is_kept_for_the_server_that_has_yet_to_start() -> None:
    """Of two stacks that start at once, one would otherwise take the other's port, and its callers, now and then."""
    port = free_port()

    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind((LOOPBACK, port))
    with socket.create_server((LOOPBACK, port)) as server:
        assert server.getsockname()[1] == port
