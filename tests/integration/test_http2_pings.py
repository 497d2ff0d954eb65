"""Pings on a gRPC connection without calls, as clients and proxies send them, are answered and end nothing."""

import asyncio

import pytest

from inventory_service.rpc import server
from tests import inventory_server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY, ACK = 4, 6, 7, 1
LEAST_MS, BETWEEN_S, PINGS = 50, 0.1, 6  # the server's minimum interval and a client's, both scaled down
PING_EACH_MS = 10_000
Frame = tuple[int, int, bytes]  # kind, flags and payload


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a minimum ping interval of 50 ms in place of several seconds."""
    options = dict(server.OPTIONS)
    name = "grpc.http2.min_ping_interval_without_data_ms"
    assert options[name] < PING_EACH_MS
    monkeypatch.setattr(server, "OPTIONS", tuple({**options, name: LEAST_MS}.items()))


@pytest.mark.usefixtures("quick_pings")
async def test_pings_on_an_idle_connection_are_accepted(valkey: str) -> None:
    """Else gRPC ends the connection with too_many_pings, and the next call pays for a new one."""
    async with inventory_server.running_server(valkey, inventory_server.UNREACHABLE_DSN) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + frame(SETTINGS))
        answered: list[Frame] = []
        for number in range(PINGS):
            writer.write(frame(PING, payload=number.to_bytes(8)))
            answered += await answers(reader, number)  # a server that reads late must not find two pings at once
            await asyncio.sleep(BETWEEN_S)
        writer.close()

    assert GOAWAY not in [kind for kind, _, _ in answered]
    assert [payload for kind, flags, payload in answered if (kind, flags) == (PING, ACK)] == [
        number.to_bytes(8) for number in range(PINGS)
    ]


def frame(kind: int, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame of the connection itself."""
    return len(payload).to_bytes(3) + bytes([kind, 0]) + bytes(4) + payload


async def answers(reader: asyncio.StreamReader, number: int) -> list[Frame]:
    """Every frame up to the answer to a ping, or to the connection's end."""
    frames: list[Frame] = []
    try:
        while frames[-1:] != [(PING, ACK, number.to_bytes(8))]:
            head = await asyncio.wait_for(reader.readexactly(9), inventory_server.START_S)
            frames.append((head[3], head[4], await reader.readexactly(int.from_bytes(head[:3]))))
    except asyncio.IncompleteReadError:
        pass
    return frames
