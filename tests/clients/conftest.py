"""The stack that clients in other languages are tried on: one for all, each of which makes sales of its own names."""

from collections.abc import Iterator

import pytest

from tests.stacks import running_stack


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that serves, with the processes and servers behind it."""
    with running_stack(tmp_path_factory.mktemp("clients")) as stack:
        yield stack.addresses.listen
