"""The embedded broker's output is read line by line, though a line may arrive in pieces."""

import os
from pathlib import Path
from types import SimpleNamespace

from holdfast_embedded.broker import Broker


def test_an_address_that_comes_in_two_pieces_is_read_whole(tmp_path: Path) -> None:
    """On a busy machine the end of a line may arrive much later than its beginning."""
    read_end, write_end = os.pipe()
    broker = Broker(tmp_path)
    with open(read_end, "rb") as output, open(write_end, "wb", buffering=0) as broker_end:
        broker._process = SimpleNamespace(stdout=output, poll=lambda: None)  # type: ignore[assignment]

        broker_end.write(b"127.0.0.1:")
        early = broker._is_ready()
        broker_end.write(b"9092\n")
        late = broker._is_ready()

    assert (early, late, broker.address) == (False, True, "127.0.0.1:9092")
