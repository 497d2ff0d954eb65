"""Each test runs on both bodies; afterwards the books of whatever it did must add up."""

from collections.abc import AsyncIterator

import pytest

from inventory_service.adapters.redis import connections as redis_connections
from tests.contract.bodies import Body, ScriptsBody, ShelfBody
from tests.contract.ledger import assert_books_add_up

OUTBOX_LIMIT = 1000


@pytest.fixture(autouse=True)
def patient_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own process may be slow to connect, and is then no caller whom Redis did not answer."""
    monkeypatch.setattr(redis_connections, "CONNECT_S", 20.0)


@pytest.fixture
async def scripts(valkey: str) -> AsyncIterator[ScriptsBody]:
    """The scripts alone, on an open shard."""
    body = ScriptsBody(valkey, OUTBOX_LIMIT)
    await body.open_shard()
    yield body
    await body.connections.close()


@pytest.fixture
async def shelf() -> ShelfBody:
    """The rule in plain Python alone."""
    return ShelfBody(OUTBOX_LIMIT)


@pytest.fixture(params=["shelf", "scripts"])
def either(request: pytest.FixtureRequest) -> Body:
    """One of the two."""
    body: Body = request.getfixturevalue(request.param)
    return body


@pytest.fixture
async def body(either: Body) -> AsyncIterator[Body]:
    """One of the two; afterwards its books must add up."""
    yield either
    await assert_books_add_up(either)
