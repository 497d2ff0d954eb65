"""An address is claimed by one process at a time, before a server shares it between listeners of its own."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast_runtime.ports import exclusive, reserved, who_listens

HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with socket.create_server((HOST, 0)) as other:
        return int(other.getsockname()[1])


@contextmanager
def listener(port: int, host: str = HOST) -> Iterator[socket.socket]:
    """A socket that listens as gRPC's do."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
        listening.listen()
        yield listening


def test_a_claimed_address_is_shared_between_ones_own_listeners(port: int) -> None:
    """The server has several."""
    with exclusive(HOST, port), listener(port), listener(port):
        pass


def test_two_processes_that_start_at_once_do_not_both_get_the_address(port: int) -> None:
    """Neither listens yet when the other asks."""
    with exclusive(HOST, port), pytest.raises(OSError, match="in use"), exclusive(HOST, port):
        pass


@pytest.mark.parametrize("host", [HOST, "0.0.0.0"])
def test_an_address_with_a_listener_is_taken(port: int, host: str) -> None:
    """Also if it listens on all addresses of the machine."""
    with listener(port, host), pytest.raises(OSError, match="in use"), exclusive(HOST, port):
        pass


@pytest.mark.parametrize("host", [HOST, "localhost", "0.0.0.0"])
def test_a_reserved_address_is_that_of_listeners_which_share_it(host: str) -> None:
    """Also while none of them listens yet, or any more; and it takes no connection from them."""
    with reserved(host, 0) as port:
        assert port
        with pytest.raises(OSError, match="in use"), exclusive(HOST, port):
            pass
        with pytest.raises(OSError, match="in use"), reserved(HOST, port):
            pass
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((HOST, port))
        with listener(port), listener(port):
            pass
        with pytest.raises(OSError, match="in use"), exclusive(HOST, port):
            pass
    with exclusive(HOST, port):
        pass


def test_an_address_with_a_listener_is_reserved_only_to_share_it(port: int) -> None:
    """Several servers of one installation may be told to."""
    with listener(port):
        with pytest.raises(OSError, match="in use"), reserved(HOST, port):
            pass
        with reserved(HOST, port, shared=True) as same, listener(port):
            assert same == port


def test_connections_that_have_ended_do_not_keep_the_address(port: int) -> None:
    """A server that is restarted finds them of its time before."""
    with listener(port) as listening:
        client = socket.create_connection((HOST, port))
        listening.accept()[0].close()  # this end closes first, so it is the one that waits
        client.close()

    with exclusive(HOST, port), listener(port):
        pass


def test_the_process_that_listens_is_named(port: int) -> None:
    """Its number and command, by which an operator can stop it."""
    assert who_listens(port) == ""
    with listener(port):
        assert f"process {os.getpid()} (" in who_listens(port)
