"""A profile: to which package a sample belongs, and what of a script's time is Lua's own."""

import pytest

from bench.profiles import innermost, profile, redis_profile

SITE = "/home/me/.venv/lib/python3.11/site-packages"
COLLAPSED = f"""
run (asyncio/runners.py:118);reserve (inventory_service/rpc/calls/reserve.py:30) 6
run (asyncio/runners.py:118);_loop ({SITE}/grpc/_cython/cygrpc.pyx:12) 3
run (asyncio/runners.py:118);_loop ({SITE}/grpc/_cython/cygrpc.pyx:99) 1
""".strip()


@pytest.mark.parametrize(
    ("frame", "package"),
    [
        (f"parse ({SITE}/redis/asyncio/connection.py:5)", "redis"),
        ("run_once (/usr/lib/python3.11/asyncio/base_events.py:1922)", "asyncio"),
        ("loads (/usr/lib/python3.11/json/__init__.py)", "json"),
        ("Reserve (/work/inventory_service/rpc/servicers.py:31)", "inventory_service/rpc"),
        ("main (/work/inventory_service/__main__.py:31)", "inventory_service"),
        ("judge (inventory_service/domain/reserve.py:3)", "inventory_service/domain"),
        ("<idle>", "unknown"),
    ],
)
def test_a_sample_belongs_to_the_package_of_its_line(frame: str, package: str) -> None:
    """Holdfast's own is told by layer, all else by package."""
    assert innermost(frame)[1] == package


def test_shares_are_of_all_samples() -> None:
    """A function is counted whichever line of it ran."""
    found = profile(COLLAPSED)

    assert found["samples"] == 10
    assert found["packages"] == {"inventory_service/rpc": 0.6, "grpc": 0.4}
    assert found["functions"] == {"reserve (inventory_service/rpc)": 0.6, "_loop (grpc)": 0.4}


def test_a_scripts_own_time_is_what_its_commands_leave() -> None:
    """Redis counts the commands of a script a second time, as those of the script."""
    assert redis_profile({"evalsha": 100, "hset": 20, "xadd": 10}) == {"Lua": 0.7, "hset": 0.2, "xadd": 0.1}
