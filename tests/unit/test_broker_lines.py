"""How the embedded broker is listened to: what it says may come in pieces."""

import os
from pathlib import Path
from types import SimpleNamespace

from holdfast_embedded.broker import Broker


def test_an_address_that_comes_in_two_pieces_is_read_whole(tmp_path: Path) -> None:
    """On a busy machine its end may come much later than its beginning; half of it would be nobody's address."""
    ours, theirs = os.pipe()
    broker = Broker(tmp_path)
    with open(ours, "rb") as answers, open(theirs, "wb", buffering=0) as said:
        broker._process = SimpleNamespace(stdout=answers, poll=lambda: None)  # type: ignore[assignment]

        said.write(b"127.0.0.1:")
        early = broker._is_ready()
        said.write(b"9092\n")
        late = broker._is_ready()

    assert (early, late, broker.address) == (False, True, "127.0.0.1:9092")
