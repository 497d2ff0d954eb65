"""A profile: to which package a sample belongs, and what of a script's time is Lua's own."""

import pytest

from bench.profiles import innermost, package_of, profile, redis_profile

SITE = "/home/me/.venv/lib/python3.11/site-packages"
COLLAPSED = f"""
0x7f (libc.so.6);run (asyncio/runners.py:118);reserve (inventory_service/rpc/calls/reserve.py:30) 4
run (asyncio/runners.py:118);reserve (inventory_service/rpc/reserve.py:31);list_new (libpython3.11.so.1.0) 2
run (asyncio/runners.py:118);_loop ({SITE}/grpc/_cython/cygrpc.pyx:12) 3
run (asyncio/runners.py:118);parse (cygrpc.cpython-311-x86_64-linux-gnu.so);malloc (libc.so.6) 1
""".strip()


@pytest.mark.parametrize(
    ("file", "package"),
    [
        (f"{SITE}/redis/asyncio/connection.py", "redis"),
        ("/usr/lib/python3.11/asyncio/base_events.py", "asyncio"),
        ("json/encoder.py", "json"),
        ("typing.py", "typing"),
        ("_json.c", "_json.c"),
        ("_message.abi3.so", "protobuf"),
        ("loop.cpython-311-x86_64-linux-gnu.so", "uvloop"),
        ("uvloop/loop.pyx", "uvloop"),
        ("loop.c", "uvloop"),
        ("/srv/holdfast/inventory_service/rpc/servicers.py", "inventory_service/rpc"),
        ("/srv/holdfast/inventory_service/__main__.py", "inventory_service"),
        ("inventory_service/domain/reserve.py", "inventory_service/domain"),
    ],
)
def test_a_frame_belongs_to_a_package(file: str, package: str) -> None:
    """Holdfast's own is told by layer, all else by package, in Python and in C."""
    assert package_of(file) == package


def test_libc_and_the_interpreter_work_for_what_calls_them() -> None:
    """Memory that a request's parsing takes is the parser's; where nothing else is known, they are named."""
    assert innermost(["run (a/b.py:1)", "free (libc.so.6)"]) == ("run", "a")
    assert innermost(["0x7f (libc.so.6)"]) == ("0x7f", "libc")
    assert innermost(["<idle>"]) == ("unknown", "unknown")


def test_shares_are_of_all_samples() -> None:
    """A function is counted whichever line of it ran."""
    found = profile(COLLAPSED)

    assert found["samples"] == 10
    assert found["packages"] == {"inventory_service/rpc": 0.6, "grpc": 0.4}
    assert found["functions"] == {
        "reserve (inventory_service/rpc)": 0.6,
        "_loop (grpc)": 0.3,
        "parse (grpc)": 0.1,
    }


def test_a_scripts_own_time_is_what_its_commands_leave() -> None:
    """Redis counts the commands of a script a second time, as those of the script."""
    assert redis_profile({"evalsha": 100, "hset": 20, "xadd": 10, "info": 5}) == {"Lua": 0.7, "hset": 0.2, "xadd": 0.1}
