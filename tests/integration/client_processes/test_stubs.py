"""The services share the generated stubs with the client, and import nothing else of the client."""

import subprocess
import sys

LOAD_AND_LIST = """
import sys
import holdfast.inventory.v1.commit_pb2, holdfast.inventory.v1.inventory_admin_service_pb2_grpc
print(*(name for name in sys.modules if name.split(".")[0] == "holdfast"))
"""


def test_the_stubs_load_no_client() -> None:
    """To load a stub runs `holdfast/__init__.py` as well, which import-linter does not count as an import."""
    asked = subprocess.run([sys.executable, "-c", LOAD_AND_LIST], capture_output=True, text=True, check=True)

    loaded = {name.removeprefix("holdfast").removeprefix(".") for name in asked.stdout.split()}

    assert all(name in ("", "inventory", "inventory.v1") or name.startswith("inventory.v1.") for name in loaded)
