"""A server for tests: it answers every call as Holdfast's server does, on its own rule, and needs no other server."""

try:
    from holdfast.testing.failures import FailureOrder
    from holdfast.testing.server import InventoryServer
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] == "holdfast":
        raise
    raise ImportError(
        f"holdfast.testing needs {missing.name}: install Holdfast with its extra [testing]", name=missing.name
    ) from missing

__all__ = ["FailureOrder", "InventoryServer"]
