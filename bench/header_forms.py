"""The forms in which clients of gRPC send a header that does not change: which bytes go with each call.

C++ and Python, as all that is built on gRPC's core, send it whole each time; so do nghttp2 and Node, by Huffman's code;
Go sends it once a connection, has it enter HPACK's dynamic table, and sends its number from then on.
"""

import ctypes
import ctypes.util

NEW_NAME = b"\x00"  # RFC 7541, 6.2.2: a literal that no table takes
AUTHORIZATION = 23  # its name in the static table
TAKEN_IN = 0x40  # 6.2.1: a literal that enters the dynamic table
NEWEST_ENTRY = b"\xbe"  # 6.1: index 62


def not_coded(name: str, value: str) -> bytes:
    """As gRPC's core sends it."""
    return NEW_NAME + literal(name) + literal(value)


def huffman_coded(name: str, value: str) -> bytes:
    """As nghttp2 sends it, by that library, which h2load comes with."""
    library = ctypes.CDLL(ctypes.util.find_library("nghttp2"))
    library.nghttp2_hd_deflate_hd.restype = ctypes.c_ssize_t
    deflater, out = ctypes.c_void_p(), ctypes.create_string_buffer(2 * len(name + value) + 64)
    pair = _Pair(name.encode(), value.encode(), len(name), len(value), 0)
    if library.nghttp2_hd_deflate_new(ctypes.byref(deflater), ctypes.c_size_t(4096)):
        raise MemoryError
    size = library.nghttp2_hd_deflate_hd(
        *(deflater, out, ctypes.c_size_t(len(out)), ctypes.byref(pair), ctypes.c_size_t(1))
    )
    library.nghttp2_hd_deflate_del(deflater)
    return out.raw[:size]


def entering_table(value: str) -> bytes:
    """An `authorization` that further calls on its connection may refer to as NEWEST_ENTRY."""
    return bytes([TAKEN_IN | AUTHORIZATION]) + literal(value)


def literal(text: str) -> bytes:
    """A string, without Huffman's code."""
    return _length(len(text)) + text.encode("ascii")


def _length(size: int) -> bytes:
    """RFC 7541, 5.1, with the seven bits that a string's length begins with."""
    if size < 127:
        return bytes([size])
    rest, left = [127], size - 127
    while left >= 128:
        rest.append(left % 128 | 128)
        left //= 128
    return bytes([*rest, left])


class _Pair(ctypes.Structure):
    """nghttp2_nv."""

    _fields_ = (
        *(("name", ctypes.c_char_p), ("value", ctypes.c_char_p)),
        *(("name_length", ctypes.c_size_t), ("value_length", ctypes.c_size_t), ("flags", ctypes.c_uint8)),
    )
