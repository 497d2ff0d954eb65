"""Brings a sale to a state, and says what became of a change of it."""

from typing import Any

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.results import Failure
from inventory_service.domain.sale import Sale, SaleAction, SaleRead, SaleRequest
from tests.contract.requests import SALE, act, create
from tests.contract.shards import FIRST_MOMENT_MS, ShardUnderTest
from tests.sales import make_sale

PAUSE, RESUME, CLOSE, CLOSE_AND_RELEASE = SaleAction
CHANGED, REPLAYED = "changed", "replayed"
SCHEDULED, OPEN, PAUSED, ENDED, CLOSED = "SCHEDULED", "OPEN", "PAUSED", "ENDED", "CLOSED"
START_MS, END_MS = FIRST_MOMENT_MS + 1000, FIRST_MOMENT_MS + 2000


async def changed(shard: ShardUnderTest, request: SaleRequest) -> SaleRead:
    """Change a sale; fails unless it is changed, or stands so already."""
    answer = await shard.stock.change_sale(request)
    assert isinstance(answer, SaleRead), answer
    return answer


async def sale_in(shard: ShardUnderTest, state: str) -> Sale:
    """Make a sale that is in a state; the settings allow each of them."""
    await make_sale(shard.stock, create(start_time_ms=START_MS, end_time_ms=END_MS, buyer_limit=2))
    if state != SCHEDULED:
        await shard.tick(1000)
    if state in (PAUSED, CLOSED):
        await changed(shard, act(PAUSE if state == PAUSED else CLOSE))
    if state == ENDED:
        await shard.tick(1000)
    return await sale_of(shard)


async def sale_of(shard: ShardUnderTest) -> Sale:
    """The sale as it stands."""
    found = await shard.stock.find_sale(SALE)
    assert isinstance(found, SaleRead)
    return found.sale


def state_of(sale: Sale) -> str:
    """The state of a sale by its short name."""
    return SaleState.Name(SaleState.ValueType(sale.state)).removeprefix("SALE_STATE_")


def wrong_state(state: str) -> Failure:
    """The failure of a request that the sale's state does not allow."""
    return Failure(ErrorReason.ERROR_REASON_WRONG_SALE_STATE, {"state": f"SALE_STATE_{state}"})


def out_of_bounds(field: str) -> Failure:
    """The failure of a request that only the shard can validate."""
    return Failure(ErrorReason.ERROR_REASON_FIELD_OUT_OF_BOUNDS, {"field": field})


def outcome_of(answer: Any) -> Any:
    """What became of a request: CHANGED, REPLAYED, or its failure."""
    if isinstance(answer, SaleRead):
        return REPLAYED if answer.replayed else CHANGED
    return answer


async def judged(shard: ShardUnderTest, request: SaleRequest) -> Any:
    """What becomes of a request; unless it changes the sale, everything stays as it was."""
    kept = await shard.contents()
    outcome = outcome_of(await shard.stock.change_sale(request))
    assert (await shard.contents() == kept) == (outcome != CHANGED), "a change that is none, or none that is one"
    return outcome
