"""A small gRPC client for load: unary calls over HTTP/2, at less than half of the CPU that grpc.aio takes for one.

A load generator that costs as much as the server it measures halves what it finds on the same machine. This one knows
of HTTP/2 what a unary call needs: it compresses no header, reads no more of a response's headers than `grpc-status`,
and keeps to the server's connection window.
"""

import asyncio
import struct
from dataclasses import dataclass
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE = 1, 2, 4
LARGEST_WINDOW, FIRST_WINDOW = 2**31 - 1, 65_535
FRAME, PREFIX = 9, 5  # bytes before a payload, and before a message
DEADLINE_S = 10
NO_STATUS = "no status"


@dataclass(frozen=True)
class Answer:
    """What a call came to: a message, or why there is none."""

    message: bytes
    failure: str = ""


class Connection(asyncio.Protocol):
    """Calls of one method on one connection, each with `headers`; `lost` is set once it takes no more."""

    def __init__(self, authority: str, method: str) -> None:
        self.lost = False
        self.headers = header_block(authority, method)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._messages: dict[int, bytes] = {}
        self._stream = -1
        self._window = FIRST_WINDOW
        self._unread = b""
        self._received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the windows as wide as they go, so that no response waits."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        settings = {HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: LARGEST_WINDOW}
        payload = b"".join(struct.pack("!HI", *setting) for setting in settings.items())
        self._transport.write(PREFACE + frame(SETTINGS, 0, 0, payload) + widen(LARGEST_WINDOW - FIRST_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        """Every call in flight has failed."""
        self.lost = True
        for stream in list(self._waiting):
            self._finish(stream, "connection lost")

    def call(self, message: bytes) -> "asyncio.Future[Answer]":
        """Send one request; the future gets the answer, whatever it is."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        body = struct.pack("!BI", 0, len(message)) + message
        if self.lost or len(body) > self._window:
            future.set_result(Answer(b"", "connection lost" if self.lost else "no window"))
            return future
        self._window -= len(body)
        self._stream += 2
        self._waiting[self._stream] = future
        headers = frame(HEADERS, END_HEADERS, self._stream, self.headers)
        self._transport.write(headers + frame(DATA, END_STREAM, self._stream, body))
        return future

    def close(self) -> None:
        """Close the connection; calls in flight fail."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take the whole frames out of what has come."""
        data = self._unread + data if self._unread else data
        at = 0
        while len(data) - at >= FRAME:
            length = int.from_bytes(data[at : at + 3], "big")
            end = at + FRAME + length
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : at + FRAME], "big") & LARGEST_WINDOW
            self._take(data[at + 3], data[at + 4], stream, data[at + FRAME : end])
            at = end
        self._unread = data[at:]
        self._received += at
        if self._received > LARGEST_WINDOW // 2:
            self._transport.write(widen(self._received))
            self._received = 0

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            assert not flags & PADDED
            self._messages[stream] = self._messages.get(stream, b"") + payload
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            self._transport.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:  # calls in flight are still answered
            self.lost = True
        if kind == RST_STREAM:
            self._finish(stream, "stream reset")
        elif kind == HEADERS and flags & END_STREAM:
            self._finish(stream, status_in(payload))

    def _finish(self, stream: int, status: str) -> None:
        """A call is answered if it has a message and the status 0."""
        message, future = self._messages.pop(stream, b""), self._waiting.pop(stream, None)
        if future is None or future.done():
            return
        failed = status not in ("0", NO_STATUS) or len(message) < PREFIX
        future.set_result(Answer(b"", status) if failed else Answer(message[PREFIX:]))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def widen(by: int) -> bytes:
    """Let the server send so many more bytes on the connection."""
    return frame(WINDOW_UPDATE, 0, 0, by.to_bytes(4, "big"))


def header_block(authority: str, method: str) -> bytes:
    """The headers of a call, by indices of HPACK's static table and literals that no table takes."""
    post, http, path, host, content_type, own = b"\x83", b"\x86", b"\x04", b"\x01", b"\x0f\x10", b"\x00"
    return b"".join(
        (
            *(post, http, path, literal(f"/{method}"), host, literal(authority)),
            *(content_type, literal("application/grpc"), own, literal("te"), literal("trailers")),
            *(own, literal("grpc-timeout"), literal(f"{DEADLINE_S}S")),
        )
    )


def literal(text: str) -> bytes:
    """A string of at most 126 bytes, without Huffman's code."""
    assert len(text) < 127
    return bytes((len(text),)) + text.encode()


def status_in(headers: bytes) -> str:
    """The number in `grpc-status`, which gRPC's servers send as it is; NO_STATUS if it is not found."""
    _, found, rest = headers.partition(b"grpc-status")
    if not found or not rest or rest[0] > len(rest) - 1:
        return NO_STATUS
    return rest[1 : 1 + rest[0]].decode("ascii", "replace")
