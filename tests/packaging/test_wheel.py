"""What is in the wheel, and what is not."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.packaging.environments import ROOT

# Files beside the code: their place in the checkout, and in the wheel.
DATA_FILES = {
    "lua/*.lua": "inventory_service/lua",
    "inventory_service/adapters/ledger/*.sql": "inventory_service/adapters/ledger",
    "clients/python/holdfast_bench/shapes/*.toml": "holdfast_bench/shapes",
    "order_persister/*.sql": "order_persister",
    "order_persister/migrations/*.sql": "order_persister/migrations",
    "protos/holdfast/inventory/v1/*.proto": "holdfast/inventory/v1",
    "clients/python/holdfast/py.typed": "holdfast",
    "clients/python/holdfast/inventory/v1/*.pyi": "holdfast/inventory/v1",
}
PACKAGES = {
    "holdfast",
    "holdfast_bench",
    "holdfast_embedded",
    "holdfast_runtime",
    "inventory_service",
    "order_persister",
}


@pytest.fixture
def names(wheel: Path) -> set[str]:
    """Every file in the wheel."""
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("files", DATA_FILES)
def test_the_wheel_contains_all_data_files(names: set[str], files: str) -> None:
    """Scripts, statements, migrations and protos are in the wheel with the code that reads them."""
    wanted = {f"{DATA_FILES[files]}/{path.name}" for path in ROOT.glob(files)}

    assert wanted
    assert wanted <= names


def test_the_wheel_contains_no_other_package(names: set[str]) -> None:
    """No tests, none of the benchmarks of this checkout: an installed Holdfast would make them importable."""
    tops = {name.partition("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES
