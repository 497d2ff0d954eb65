"""The count of what a token costs: the token's forms, a server that takes them, and the sum of what was counted."""

import ctypes.util
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from bench.counted_server import started
from bench.header_forms import NEWEST_ENTRY, entering_table, huffman_coded, literal, not_coded
from bench.programs import ProgramFailed
from bench.token_instructions import NONE, Case, by_function, call_each, connected, table

NAME, VALUE = "authorization", "Bearer " + "e" * 420
GRPC, PYTHON = "cygrpc.cpython-311-x86_64-linux-gnu.so", "libpython3.11.so.1.0"
HAS_NGHTTP2 = ctypes.util.find_library("nghttp2") is not None
DUMP = """events: Ir
ob=(1) /usr/lib/libpython3.11.so.1.0
fl=(1) ???
fn=(1) call
10 5
cob=(2) /x/cygrpc.cpython-311-x86_64-linux-gnu.so
cfn=(2) parse
calls=3 20
+1 900
* 7

ob=(2)
fn=(2)
20 900

totals: 912
"""


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """That of a server which checks tokens, in this process and not under valgrind."""
    servers, address = await started("127.0.0.1:0", tokens=True, interval_s=0.004)
    yield address
    for server in servers:
        await server.stop(None)


async def calls(address: str, case: Case) -> None:
    """A first call on each connection, and two more."""
    connections = await connected(address, case, callers=3, first=0)
    await call_each(connections, 2, first=100)
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("form", ["whole", "by number", "by Huffman's code"])
async def test_a_server_finds_the_token_in_each_form(address: str, form: str) -> None:
    """It answers no call without one."""
    if form == "by Huffman's code" and not HAS_NGHTTP2:
        pytest.skip("h2load, and with it libnghttp2, is not installed")
    whole = huffman_coded(NAME, VALUE) if form == "by Huffman's code" else not_coded(NAME, VALUE)
    case = (
        Case(form, True, entering_table(VALUE), NEWEST_ENTRY) if form == "by number" else Case(form, True, whole, whole)
    )

    await calls(address, case)


async def test_a_call_that_fails_ends_the_count(address: str) -> None:
    """Else a server that refuses all would seem cheap."""
    with pytest.raises(ProgramFailed, match="16"):
        await calls(address, Case(NONE, True))


def test_a_string_has_its_length_in_front() -> None:
    """Seven bits of it, and from 127 on as many bytes as it takes (RFC 7541, 5.1)."""
    assert [literal("a" * size)[:-size] for size in (126, 127, 1464)] == [b"\x7e", b"\x7f\x00", b"\x7f\xb9\x0a"]


def test_instructions_are_those_of_the_function_itself() -> None:
    """What a callee took is counted for the callee."""
    assert by_function(DUMP) == Counter({(GRPC, "parse"): 900, (PYTHON, "call"): 12})


def test_a_case_is_compared_with_the_first_function_by_function() -> None:
    """In thousands of instructions a call: in all, and of gRPC, of Python and of the rest; not what varies."""
    none = [Counter({(GRPC, "parse"): 200_000, (PYTHON, "call"): 100_000, (GRPC, "wait"): wait}) for wait in (0, 9000)]
    whole = [Counter({(GRPC, "parse"): 210_000, (PYTHON, "call"): 105_000, ("libc.so.6", "malloc"): 2_000})] * 2

    *_, last = table({Case(NONE, False): none, Case("not coded", True, b"token"): whole}, calls=10)

    assert last == "| not coded, checked | 31.7 (31.7-31.7) | 1.70 | 1.00 | 0.50 | 0.20 |"
