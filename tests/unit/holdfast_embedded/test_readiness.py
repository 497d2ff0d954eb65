"""When a stack says that its server takes calls."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import trustme
from holdfast_embedded import readiness
from holdfast_embedded.readiness import is_answering, is_listening


def test_a_grpc_server_answers() -> None:
    """It sends its settings as soon as a client has connected."""
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    assert is_answering(address)

    server.stop(grace=None).wait()


@pytest.mark.parametrize("needs_certificate", [False, True])
def test_a_grpc_server_with_tls_answers(monkeypatch: pytest.MonkeyPatch, needs_certificate: bool) -> None:
    """It waits until its client speaks, and may want a certificate that the stack does not have."""
    monkeypatch.setattr(readiness, "SILENCE_S", 0.05)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    pair = (issued.private_key_pem.bytes(), b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    credentials = grpc.ssl_server_credentials(
        [pair], authority.cert_pem.bytes() if needs_certificate else None, needs_certificate
    )
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    server.start()

    assert is_answering(address)

    server.stop(grace=None).wait()


def test_a_server_that_stays_silent_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is halted does, with TLS or without it."""
    monkeypatch.setattr(readiness, "SILENCE_S", 0.05)
    monkeypatch.setattr(readiness, "DEADLINE_S", 0.05)

    with socket.create_server(("127.0.0.1", 0)) as halted:
        assert not is_answering(f"127.0.0.1:{halted.getsockname()[1]}")


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
