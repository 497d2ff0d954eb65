"""Connections that break HTTP/2's rules harm themselves alone: other callers are served, and no traceback is logged."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from tests.inventory_server import START_S, calling, open_shards, running_server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
ANSWERED_S = 20.0  # each call of another caller, on a machine that stands still for seconds
CALLS_MEANWHILE = 30


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0, length: int | None = None) -> bytes:
    """An HTTP/2 frame, whose length may be another than its payload's."""
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def literal(name: str, value: str) -> bytes:
    """A header that HPACK neither compresses nor keeps."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


CALL = b"".join(
    literal(name, value)
    for name, value in (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/holdfast.inventory.v1.InventoryService/GetSale"),
        (":authority", "shop"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
    )
)
START = PREFACE + frame(SETTINGS)
ONE_CALL = frame(HEADERS, CALL, END_HEADERS, stream=1)
RESETS = b"".join(
    frame(HEADERS, CALL, END_HEADERS, stream) + frame(RST_STREAM, b"\0\0\0\x08", stream=stream)
    for stream in range(1, 4001, 2)
)

# What breaks a rule for which a connection is ended, by RFC 9113.
ENDED: Mapping[str, bytes] = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n",
    "a preface that is wrong at its end": PREFACE[:-4] + b"XXXX" + frame(SETTINGS),
    "a frame above the largest size": START + frame(DATA, length=2**24 - 1, stream=1) + bytes(2**16),
    "settings of five bytes": PREFACE + frame(SETTINGS, bytes(5)),
    "a ping of seven bytes": START + frame(PING, bytes(7)),
    "a continuation of no headers": START + frame(CONTINUATION, CALL, END_HEADERS, stream=1),
    "a header block that HPACK does not know": START + frame(HEADERS, b"\xff" * 40, END_HEADERS, stream=1),
    "another frame within headers": START + frame(HEADERS, CALL, stream=1) + frame(PING, bytes(8)),
}
# What ends a stream only, or nothing yet.
BORNE: Mapping[str, bytes] = {
    "headers behind the end of their stream": START
    + frame(HEADERS, CALL, END_HEADERS | END_STREAM, stream=1)
    + frame(HEADERS, CALL, END_HEADERS | END_STREAM, stream=1),
    "headers without an end": START + frame(HEADERS, CALL, stream=1),
    "a message that is announced and does not come": START + ONE_CALL + frame(DATA, b"\0\0\x10\0\0", stream=1),
    "half a preface": PREFACE[:10],
    "nothing": b"",
    "a flood of settings": START + frame(SETTINGS) * 20_000,
    "a flood of pings": START + frame(PING, bytes(8)) * 5_000,
    "a flood of calls that are taken back": START + RESETS,
}


async def test_others_are_served_beside_malformed_connections(
    valkey: str, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """All at once, and none of them reads what it is sent."""
    await open_shards(valkey)
    async with running_server(valkey, database) as address, calling(address) as caller:
        host, _, port = address.rpartition(":")
        await caller.create_sale(units=CALLS_MEANWHILE)
        connections = {name: await asyncio.open_connection(host, int(port)) for name in (*ENDED, *BORNE)}
        for name, (_, writer) in connections.items():
            writer.write({**ENDED, **BORNE}[name])

        took = []
        for number in range(CALLS_MEANWHILE):
            began = time.monotonic()
            answer = await caller.reserve(f"r-{number}")
            took.append(time.monotonic() - began)
            assert answer.WhichOneof("outcome") == "reservation"
        open_still = [name for name in ENDED if not await is_ended(connections[name][0])]
        for _, writer in connections.values():
            writer.transport.abort()
        async with calling(address) as newcomer:
            assert (await newcomer.reserve("r-last")).WhichOneof("outcome") == "rejection", "all units are sold"

    assert open_still == []
    assert max(took) < ANSWERED_S
    assert "Traceback" not in "".join(capfd.readouterr())


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """The server has closed the connection, after it has said why or not."""
    try:
        await asyncio.wait_for(reader.read(), START_S)
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
