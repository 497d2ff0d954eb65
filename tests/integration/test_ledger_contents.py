"""The ledger stores all that a sale and a reservation have in Redis, so that it can be read from there later."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bench.commits import HELD
from inventory_service.adapters.ledger.archive import LedgerArchive
from inventory_service.domain.fingerprints import sale_fingerprint
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Granted
from inventory_service.domain.sale import CreateSale, NewItem, SaleRead
from tests.integration.audit_fixture import SALE as LAMP_SALE
from tests.integration.audit_fixture import SHARD, AuditFixture
from tests.integration.one_shard_ledger import OneShardLedger
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.sales import make_sale
from tests.servers import connected
from tests.shared_kafka import Kafka

ASKED = "select reservation_id, asked_hold_ms, reference from reservation order by 1"
ASKED_LINES = "select reservation_id, sku, quantity, asked_quantity from reservation_line order by 1, 2"


@pytest.fixture
async def fixture(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[AuditFixture]:
    processes = ShardProcesses(valkey, database, kafka)
    await processes.open()
    yield AuditFixture(processes)
    await processes.close()


@pytest.mark.parametrize("units", [0, 3], ids=["without units", "with units"])
async def test_a_sale_is_stored_as_redis_has_it(fixture: AuditFixture, units: int) -> None:
    """Its etag does not depend on the units that it has, and its fingerprint tells a repeated CreateSale later."""
    request = CreateSale(LAMP_SALE, "Lamps", None, None, 60_000, 90_000, 7, (NewItem("lamp", units),))
    for number in range(2):  # so that the sale is not the shard's first commit
        await make_sale(fixture.stock, request._replace(sale=_name_in_shard(number)))
    made = await make_sale(fixture.stock, request)
    assert isinstance(made, SaleRead)

    await fixture.apply_outbox()
    found = await LedgerArchive(fixture.processes.postgres).find_sale(LAMP_SALE)

    assert found is not None
    assert found.sale == made.sale._replace(state=found.sale.state)
    assert await _values(fixture, "select body from sale where sale_id = 'lamp-sale'") == [(sale_fingerprint(request),)]


async def test_a_reservation_is_stored_with_what_its_reserve_asked(fixture: AuditFixture) -> None:
    """The life of the hold as asked, which is not the one that was granted; a spent id was asked for by no Reserve."""
    items = (NewItem("lamp", 9), NewItem("shade", 9))
    await make_sale(fixture.stock, CreateSale(LAMP_SALE, "", None, None, 60_000, 90_000, 0, items))
    for name, hold_ttl_ms in (("r-1", None), ("r-2", 120_000)):
        lines = (Line("lamp", 1), Line("shade", 2))
        granted = await fixture.stock.reserve(Reserve(LAMP_SALE, name, "ann", lines, hold_ttl_ms))
        assert isinstance(granted, Granted)
    await fixture.stock.move(Move(LAMP_SALE, "r-2", MoveKind.CONFIRM))
    await fixture.stock.move(Move(LAMP_SALE, "r-3", MoveKind.SPEND))

    await fixture.apply_outbox()

    assert await _values(fixture, ASKED) == [("r-1", 0, ""), ("r-2", 120_000, ""), ("r-3", 0, "")]
    assert await _values(fixture, ASKED_LINES) == [
        ("r-1", "lamp", 1, 1),
        ("r-1", "shade", 2, 2),
        ("r-2", "lamp", 1, 1),
        ("r-2", "shade", 2, 2),
    ]


async def test_a_reservation_is_stored_with_its_reference(one_shard: OneShardLedger) -> None:
    """It stays when the reservation changes."""
    shard = one_shard.shard
    shard.claim("r-1", 0, {"lamp": 1}, "ann", reference="cart-7", asked_hold_ms=5_000)
    shard.commit(shard.changed("r-1", HELD))
    await one_shard.apply_new()
    shard.commit(shard.changed("r-1", HELD, extended_ms=1_000))

    outcome = await one_shard.apply_new()

    assert outcome.row.frozen_reason == ""
    assert [tuple(row) for row in await one_shard.db.fetch(ASKED)] == [("r-1", 5_000, "cart-7")]


def _name_in_shard(number: int) -> SaleKey:
    """The name of another sale in the same shard."""
    names = (SaleKey("default", f"sale-{at}") for at in range(100))
    return [name for name in names if shard_of(name, SHARDS) == SHARD][number]


async def _values(fixture: AuditFixture, query: str) -> list[tuple[Any, ...]]:
    async with connected(fixture.processes.dsn) as db:
        return [tuple(row) for row in await db.fetch(query)]
