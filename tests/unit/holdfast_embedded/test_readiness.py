"""When a stack says that its server takes calls."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from holdfast_embedded.readiness import is_answering, is_listening


def test_a_grpc_server_answers() -> None:
    """It sends its settings as soon as a client has connected."""
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    assert is_answering(address)

    server.stop(grace=None).wait()


def test_a_process_that_only_has_the_address_does_not_answer() -> None:
    """A call that came now would fail, although the address accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as claim:
        address = f"127.0.0.1:{claim.getsockname()[1]}"
        assert is_listening(address)

        def close_both() -> None:
            for _ in range(2):
                claim.accept()[0].close()

        closing = threading.Thread(target=close_both)
        closing.start()

        assert not is_answering(address)

        closing.join()
    assert not is_answering(address)
