"""A watch whose caller never reads: HTTP/2 frames by hand, since gRPC's clients read ahead."""

import socket
import struct

from holdfast.inventory.v1.inventory_service_pb2 import WatchSaleRequest

METHOD = "/holdfast.inventory.v1.InventoryService/WatchSale"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM = ACK = 1
END_HEADERS = 4
INITIAL_WINDOW_SIZE = 4  # a setting


def open_unread_watch(address: str, sale_id: str, window: int = 65_535) -> socket.socket:
    """Begin to watch a sale; the server may send `window` bytes, which stay unread, as all that it sends does."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)))
    request = WatchSaleRequest(sale_id=sale_id).SerializeToString()
    connection.sendall(
        PREFACE
        + _frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window))
        + _frame(SETTINGS, ACK, 0, b"")  # of the settings that the server sends first
        + _frame(HEADERS, END_HEADERS, 1, _headers(address))
        + _frame(DATA, END_STREAM, 1, struct.pack(">BI", 0, len(request)) + request)
    )
    return connection


def _headers(authority: str) -> bytes:
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())  # not indexed


def _text(text: str) -> bytes:
    """A string of HPACK, shorter than 127 bytes."""
    assert len(text) < 127
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack(">I", stream) + payload
