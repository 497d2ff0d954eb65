"""HTTP/2 by hand, for tests that send a server what no gRPC client would."""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4
SERVICE = b"/holdfast.inventory.v1.InventoryService/"
EMPTY_MESSAGE = b"\0" * 5


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0, length: int | None = None) -> bytes:
    """A frame, whose length may be another than its payload's."""
    size = len(payload) if length is None else length
    return size.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header that HPACK neither compresses nor keeps."""
    return b"\0" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    """With its length, which is an integer with a prefix of seven bits."""
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, length = len(text) - 127, [127]
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + text


def call_headers(path: bytes = SERVICE + b"GetSale", *more: tuple[bytes, bytes]) -> bytes:
    """The headers of a call."""
    usual = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"shop"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    return b"".join(literal(name, value) for name, value in (*usual, *more))


def whole_call(headers: bytes, message: bytes = EMPTY_MESSAGE, stream: int = 1) -> bytes:
    """A call of one message, with gRPC's prefix of five bytes; a header block that is large goes in several frames."""
    first, *rest = [headers[at : at + 2**14] for at in range(0, len(headers), 2**14)]
    blocks = [frame(HEADERS, first, 0 if rest else END_HEADERS, stream)]
    blocks += [frame(CONTINUATION, block, 0, stream) for block in rest[:-1]]
    blocks += [frame(CONTINUATION, block, END_HEADERS, stream) for block in rest[-1:]]
    return b"".join(blocks) + frame(DATA, message, END_STREAM, stream)


START = PREFACE + frame(SETTINGS)
