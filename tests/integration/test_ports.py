"""A server's port is free when the server starts, and after each restart."""

import socket

import pytest
from holdfast_embedded.ports import LOOPBACK, free_port


def test_a_port_lies_below_the_ephemeral_range() -> None:
    """A client that retries a closed port of that range can end up connected to itself."""
    linux_begins_at = 32_768

    assert all(free_port() < linux_begins_at for _ in range(20))


def test_a_port_is_reserved_until_its_server_starts() -> None:
    """Otherwise one of two stacks that start at once may take the other's port, and its callers."""
    port = free_port()

    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind((LOOPBACK, port))
    with socket.create_server((LOOPBACK, port)) as server:
        assert server.getsockname()[1] == port
