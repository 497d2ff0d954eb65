"""Many Reserves in front of a batcher: how they go into the queues, and what each is answered."""

import asyncio
from collections.abc import Sequence
from typing import Any

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.many_reserves import ReserveGroup
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted, sale_not_found
from inventory_service.domain.time_left import caller_leaves
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.batcher import Batcher
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lane import Limits
from inventory_service.service.many_reserves import BatchedReserves
from tests.sales import make_sale
from tests.unit.inventory_service.service.fake_archive import BOUGHT, BUY, LAMPS, NOW_MS, SALE, FakeArchive
from tests.unit.inventory_service.service.manual_stock import BatcherFixture, reserve, settle

OVERLOADED = Failure(reasons.ERROR_REASON_OVERLOADED)
OUTCOME_UNKNOWN = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)


class Asked:
    """Many requests of one caller, and what was taken."""

    def __init__(self, batcher: Batcher, ledger: Any = None) -> None:
        archive = ArchiveFallback(batcher, ledger, ledger, Bulkhead(1), lambda: NOW_MS)
        self.answers: dict[Any, Any] = {}
        self.asking: ReserveGroup = BatchedReserves(batcher, archive).begin(self._take)

    def _take(self, key: Any, result: Any) -> None:
        assert key not in self.answers, "a second answer"
        self.answers[key] = result

    def ask(self, *names: str) -> None:
        self.asking.ask(names, [reserve(name) for name in names])


async def test_all_requests_of_a_batch_go_in_one_call(fixture: BatcherFixture) -> None:
    """The first one does not go ahead of them, as it does where requests come one by one."""
    asked = Asked(fixture.batcher)

    asked.ask("a", "b", "a-2")
    await settle()
    assert fixture.store.calls == [("reserve", ["a", "b", "a-2"])]
    await fixture.store.answer()

    assert {key: answer.reservation_id for key, answer in asked.answers.items()} == {"a": "a", "b": "b", "a-2": "a-2"}


async def test_a_batch_that_is_larger_than_a_call_keeps_its_order(fixture: BatcherFixture) -> None:
    """What is too much for one call goes with the next."""
    asked, names = Asked(fixture.batcher), [f"r-{n}" for n in range(11)]

    asked.ask(*names)
    await settle()
    await fixture.store.answer()
    await fixture.clock.pass_ms(4)
    await fixture.store.answer()

    assert [call for _, call in fixture.store.calls] == [names[:8], names[8:]]
    assert list(asked.answers) == names


async def test_what_the_queue_has_no_room_for_is_overloaded_and_the_rest_is_judged(fixture: BatcherFixture) -> None:
    """At once, and each alone."""
    asked, names = Asked(fixture.batcher), [f"r-{n}" for n in range(15)]

    asked.ask(*names)

    assert asked.answers == dict.fromkeys(names[12:], OVERLOADED)
    await asked.asking.close()


async def test_what_was_not_sent_is_dropped_with_its_caller(fixture: BatcherFixture) -> None:
    """And nothing is taken of what was; the requests of others go on."""
    asked, other = Asked(fixture.batcher), Asked(fixture.batcher)
    asked.ask(*(f"r-{n}" for n in range(9)))
    other.ask("other")
    await settle()

    await asked.asking.close()
    await fixture.store.answer()
    await fixture.clock.pass_ms(4)
    await fixture.store.answer()

    assert [call for _, call in fixture.store.calls] == [[f"r-{n}" for n in range(8)], ["other"]]
    assert (list(other.answers), asked.answers, fixture.ids_waiting()) == (["other"], {}, False)


class ShardsOfTheirOwn:
    """A stock with a shard for each of two sales, of which the second one's breaks."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    async def reserve_many(self, shard: int, requests: Sequence[Reserve]) -> Sequence[Any]:
        self.calls.append((shard, len(requests)))
        if shard:
            raise RuntimeError("a bug")
        return requests


async def test_a_shard_that_is_down_spoils_no_other_shards_requests_of_the_batch() -> None:
    """Each shard gets its own in one call."""
    stock: Any = ShardsOfTheirOwn()
    asked = Asked(Batcher(stock, lambda sale: int(sale.sale_id), lambda *_: None))
    sales = [SaleKey("default", str(shard)) for shard in (0, 1, 0, 1)]

    asked.asking.ask(range(4), [Reserve(sale, f"r-{n}", "ada", (), None) for n, sale in enumerate(sales)])
    await settle()

    assert sorted(stock.calls) == [(0, 2), (1, 2)]
    assert [asked.answers[n].reservation_id for n in (0, 2)] == ["r-0", "r-2"]
    assert [asked.answers[n] for n in (1, 3)] == [OUTCOME_UNKNOWN] * 2


async def in_front_of_the_ledger(stock: InMemoryStock, ledger: FakeArchive) -> Asked:
    await make_sale(stock, LAMPS)
    return Asked(Batcher(stock, lambda _sale: 0, lambda *_: None, Limits()), ledger)


async def test_the_ledger_judges_what_has_left_redis_within_the_time_of_the_caller() -> None:
    """The others of the batch have their answers meanwhile."""
    ledger, left = FakeArchive(), SaleKey("default", "another")
    ledger.has_sale = False
    known_until: list[float] = []
    ledger._ask = lambda what: known_until.append(caller_leaves.get())  # type: ignore[method-assign]
    caller_leaves.set(7.0)
    asked = await in_front_of_the_ledger(InMemoryStock(lambda: NOW_MS), ledger)

    caller_leaves.set(8.0)  # of another call
    asked.asking.ask(["left", "here"], [BUY._replace(sale=left), BUY])
    await settle()

    assert asked.answers["left"] == sale_not_found(left)
    assert isinstance(asked.answers["here"], Granted)
    assert (next(iter(asked.answers)), known_until) == ("here", [7.0])


async def test_a_question_to_the_ledger_ends_with_its_caller() -> None:
    """No task is left."""
    ledger, never = FakeArchive(), asyncio.Event()

    async def sale_exists(_sale: SaleKey) -> bool:
        return await never.wait()

    ledger.sale_exists = sale_exists  # type: ignore[assignment,method-assign]
    asked = await in_front_of_the_ledger(InMemoryStock(lambda: NOW_MS), ledger)
    before = asyncio.all_tasks()
    asked.asking.ask(["left"], [BUY._replace(sale=SaleKey("default", "another"))])
    await settle()
    assert len(asyncio.all_tasks() - before) == 1

    await asked.asking.close()

    assert (asyncio.all_tasks() - before, asked.answers) == (set(), {})


async def test_a_bug_beside_the_ledger_is_the_answer_to_its_request_alone() -> None:
    """The caller learns that the outcome is unknown, from what takes the answer."""
    ledger = FakeArchive()
    ledger.reservations["bought"] = BOUGHT
    ledger._ask = lambda what: 1 / 0  # type: ignore[assignment]
    asked = await in_front_of_the_ledger(InMemoryStock(lambda: NOW_MS), ledger)

    asked.asking.ask(["left", "here"], [BUY._replace(sale=SaleKey("default", "another")), BUY])
    await settle()

    assert isinstance(asked.answers["left"], ZeroDivisionError)
    assert asked.answers["here"].reservation.sale == SALE
