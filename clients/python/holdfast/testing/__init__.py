"""A server for tests: it answers every call as Holdfast's server does, on its own rule, and needs no other server."""

try:
    from holdfast.testing.failures import FailureOrder
    from holdfast.testing.server import InventoryServer
except ModuleNotFoundError as missing:
    package = (missing.name or "").partition(".")[0]
    if package == "holdfast":
        raise
    sentence = f"holdfast.testing needs {package}: install Holdfast with its extra [testing]"
    raise ImportError(sentence, name=package) from missing

__all__ = ["FailureOrder", "InventoryServer"]
