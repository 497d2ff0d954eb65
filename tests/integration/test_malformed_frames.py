"""Connections that break HTTP/2's rules harm themselves alone: other callers are served, and no traceback is logged."""

import asyncio
import gzip
import time
from collections.abc import Mapping

import pytest

from holdfast_runtime.logs import hide_values_of_grpc
from tests.http2_frames import (
    CONTINUATION,
    DATA,
    EMPTY_MESSAGE,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SERVICE,
    SETTINGS,
    START,
    call_headers,
    frame,
    whole_call,
)
from tests.inventory_server import START_S, calling, open_shards, running_server

ANSWERED_S = 20.0  # each call of another caller, on a machine that stands still for seconds
CALLS_MEANWHILE = 30
CALL = call_headers()
ONE_CALL = frame(HEADERS, CALL, END_HEADERS, stream=1)
RESETS = b"".join(
    frame(HEADERS, CALL, END_HEADERS, stream) + frame(RST_STREAM, b"\0\0\0\x08", stream=stream)
    for stream in range(1, 4001, 2)
)


def three_calls(path: bytes, *more: tuple[bytes, bytes], message: bytes = EMPTY_MESSAGE) -> bytes:
    """Whole calls on one connection."""
    return b"".join(whole_call(call_headers(path, *more), message, stream) for stream in (1, 3, 5))


def compressed(message: bytes) -> bytes:
    """A message as gRPC compresses it, with its prefix."""
    packed = gzip.compress(message)
    return b"\1" + len(packed).to_bytes(4) + packed


PATHS: Mapping[str, bytes] = {
    "a method that is not UTF-8": SERVICE + b"\xff\xfe",
    "a path of such bytes": b"\xff" * 40,
    "a method with a NUL": SERVICE + b"Get\0Sale",
    "a method of 10,000 characters": SERVICE + b"x" * 10_000,
    "a method of 100,000 characters": SERVICE + b"x" * 100_000,
    "an empty path": b"",
    "a path without a slash": b"GetSale",
    "a service without a method": SERVICE,
}
HEALTH = b"/grpc.health.v1.Health/"
REFLECTION = b"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

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
    **{
        f"a call of {path.decode()} that cannot be read": START + three_calls(path, message=b"\0\0\0\0\2\xff\xff")
        for path in (HEALTH + b"Check", HEALTH + b"Watch", REFLECTION, SERVICE + b"Reserve", SERVICE + b"StreamReserve")
    },
    "a message that is too large once it is decompressed": START
    + three_calls(SERVICE + b"GetSale", (b"grpc-encoding", b"gzip"), message=compressed(bytes(8 * 2**20))),
    "a message that cannot be decompressed": START
    + three_calls(SERVICE + b"GetSale", (b"grpc-encoding", b"gzip"), message=b"\1\0\0\0\3abc"),
    "a header that is not UTF-8": START + three_calls(SERVICE + b"GetSale", (b"authorization", b"Bearer \xff")),
    **{f"a call of {what}": START + three_calls(path) for what, path in PATHS.items()},
}


async def test_others_are_served_beside_malformed_connections(
    valkey: str, database: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """All at once, and none of them reads what it is sent."""
    caplog.handler.addFilter(hide_values_of_grpc)  # as in the log of a process
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
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def is_ended(reader: asyncio.StreamReader) -> bool:
    """The server has closed the connection, after it has said why or not."""
    try:
        await asyncio.wait_for(reader.read(), START_S)
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
