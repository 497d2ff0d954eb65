"""Each test runs on the bodies of the rule; afterwards the books of whatever it did must add up."""

from collections.abc import AsyncIterator

import pytest

from inventory_service.adapters.redis import connections as redis_connections
from tests.contract.bodies import Body, InMemoryBody, ScriptsBody, ServedBody
from tests.contract.ledger import assert_books_add_up

OUTBOX_LIMIT = 100


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
async def memory() -> InMemoryBody:
    """The rule in plain Python alone."""
    return InMemoryBody(OUTBOX_LIMIT)


@pytest.fixture
async def served(valkey: str) -> AsyncIterator[ScriptsBody]:
    """The scripts behind batcher and archive, on an open shard."""
    body = ServedBody(valkey, OUTBOX_LIMIT)
    await body.open_shard()
    yield body
    await body.connections.close()


@pytest.fixture(params=["memory", "scripts", "served"])
def each_body(request: pytest.FixtureRequest) -> Body:
    """One of the bodies."""
    body: Body = request.getfixturevalue(request.param)
    return body


@pytest.fixture
async def body(each_body: Body) -> AsyncIterator[Body]:
    """One of the bodies; afterwards its books must add up."""
    yield each_body
    await assert_books_add_up(each_body)
