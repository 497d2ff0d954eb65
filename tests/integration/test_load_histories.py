"""What a script writes can be read back from the ledger: random histories, and then every field of every key.

An audit of a sale finds no difference meanwhile.
"""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.sale import CreateSale, SaleRequest
from inventory_service.domain.sale_reconciliation import AuditDifference
from tests.contract.test_histories import SALES, acts, adjustments, changes, creates, moves, reserves, sales, updates
from tests.integration.audit_amid_changes import Step, differences
from tests.integration.loaded_shard import LoadedShard

buyers = st.sampled_from(["b-1", "b-2"])


class Histories(RuleBasedStateMachine):
    """Does things to one shard and its ledger, and loses Redis now and then."""

    runner: asyncio.Runner
    url: str
    dsn: str

    @initialize(request=creates)
    def open_shard(self, request: CreateSale) -> None:
        self.shard = self.runner.run(LoadedShard.opened(self.url, self.dsn))
        self.create_sale(request._replace(sale=SALES[0], start_time_ms=None, end_time_ms=None, hold_ttl_ms=1000))

    @rule(request=creates)
    def create_sale(self, request: CreateSale) -> None:
        self.runner.run(self.shard.create_sale(request))

    @rule(request=st.one_of(acts, updates, adjustments))
    def change_sale(self, request: SaleRequest) -> None:
        self.runner.run(self.shard.stock.change_sale(request))

    @rule(requests=st.lists(reserves, min_size=1, max_size=4))
    def reserve(self, requests: Sequence[Reserve]) -> None:
        self.runner.run(self.shard.stock.reserve_many(0, requests))

    @rule(requests=st.lists(moves, min_size=1, max_size=4))
    def move(self, requests: Sequence[Move]) -> None:
        self.runner.run(self.shard.stock.move_many(0, requests))

    @rule(request=changes)
    def change_hold(self, request: ChangeHold) -> None:
        async def ask() -> None:
            await self.shard.stock.change_hold(request)

        self.runner.run(ask())

    @rule(buyer=buyers, blocked=st.booleans())
    def block(self, buyer: str, blocked: bool) -> None:
        self.runner.run(self.shard.block(buyer, blocked))

    @rule()
    def drain(self) -> None:
        self.runner.run(self.shard.drain())

    @rule()
    def compensate(self) -> None:
        """Give back the units of every order that the ledger has refused so far."""
        self.runner.run(self.shard.compensate())

    @rule()
    def expire(self) -> None:
        self.runner.run(self.shard.stock.expire(0))

    @rule(ms=st.sampled_from([1, 500, 1000, 3000, -2000]))
    def tick(self, ms: int) -> None:
        self.runner.run(self.shard.tick(ms))

    @rule(sale=sales)
    def archive(self, sale: SaleKey) -> None:
        self.runner.run(self.shard.archive(sale))

    @rule(
        sale=sales,
        reserved=st.lists(reserves, max_size=4),
        moved=st.lists(moves, max_size=4),
        changed=st.lists(changes, max_size=2),
        operated=st.lists(st.one_of(acts, updates, adjustments), max_size=2),
    )
    def audit(
        self,
        sale: SaleKey,
        reserved: Sequence[Reserve],
        moved: Sequence[Move],
        changed: Sequence[ChangeHold],
        operated: Sequence[SaleRequest],
    ) -> None:
        """Nothing differs, though all this happens between its readings; parts of it are refused and compensated."""
        stock = self.shard.stock

        async def operate() -> None:
            for change in changed:
                await stock.change_hold(change)
            for request in operated:
                await stock.change_sale(request)

        async def audited() -> Sequence[AuditDifference]:
            await self.shard.drain()
            steps: list[Step] = [lambda: stock.reserve_many(0, reserved), operate, lambda: stock.move_many(0, moved)]
            later: list[Step] = [self.shard.compensate, lambda: stock.expire(0), self.shard.archive_all]
            return await differences(self.shard, sale, *steps, *later)

        assert self.runner.run(audited()) == ()

    @rule(blank=st.booleans())
    def lose_redis(self, blank: bool) -> None:
        """All is as it was, field by field, but for what begins anew with an epoch.

        At the latest moment that was: by a clock that was set back, what has left since would be loaded again.
        """
        self.runner.run(self.shard.drain())
        self.runner.run(self.shard.tick(self.shard.latest_ms - self.shard.now_ms))
        self.runner.run(self.shard.archive_all())
        self.runner.run(self.shard.drain())
        before = self.runner.run(self.shard.stored())

        self.runner.run(self.shard.load(blank))

        assert self.runner.run(self.shard.stored()) == before
        for sale in SALES:
            assert self.runner.run(differences(self.shard, sale)) == ()

    def teardown(self) -> None:
        if not hasattr(self, "shard"):
            return
        try:
            self.lose_redis(blank=True)
        finally:
            self.runner.run(self.shard.close())


@pytest.mark.timeout(400)  # passing takes seconds; a failure is first made as short as it can be
def test_a_loaded_shard_has_every_field_as_it_was(shared_valkey: str, database: str) -> None:
    """Promise 8: what is not in the ledger would be lost with Redis, so nothing is written that is not there."""
    with asyncio.Runner() as runner:
        attributes = {"runner": runner, "url": shared_valkey, "dsn": database, "TestCase": None}
        run_state_machine_as_test(
            type("Machine", (Histories,), attributes),
            settings=settings(
                max_examples=20,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )
