"""The load of the comparison: how long it goes on, and what it counts."""

import asyncio

import pytest
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_SOLD_OUT, Rejection, Reservation

from bench.strategies import callers
from bench.strategies.callers import Callers, Outcome, SaleLoad, outcome_from
from bench.strategies.http2 import Answer

SOLD_OUT = ReserveResponse(rejection=Rejection(reason=REJECTION_REASON_SOLD_OUT))
LONG_S = 3600.0


class Shop:
    """Sells so many units over all of its channels, at once or never."""

    def __init__(self, units: int, is_silent: bool = False) -> None:
        self._units = units
        self._is_silent = is_silent

    def channel(self, _address: str) -> "Shop":
        """All are the same."""
        return self

    async def call(self, message: bytes) -> Answer:
        """Answer one Reserve."""
        await asyncio.sleep(LONG_S if self._is_silent else 0)
        name = ReserveRequest.FromString(message).reservation_id
        self._units -= 1
        if self._units < 0:
            return Answer(SOLD_OUT.SerializeToString())
        return Answer(ReserveResponse(reservation=Reservation(reservation_id=name)).SerializeToString())


def called(monkeypatch: pytest.MonkeyPatch, shop: Shop, load: SaleLoad) -> Outcome:
    """What the callers of a shop are told."""
    monkeypatch.setattr(callers, "Channel", shop.channel)
    return asyncio.run(Callers(load).run())


def test_a_load_goes_on_until_the_sale_is_sold_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """And for its seconds after that, of which these callers have none: each hears it once."""
    load = SaleLoad("", "lamp-sale", callers=2, seconds=0.0, sell_out_within_s=60.0)

    outcome = called(monkeypatch, Shop(units=5), load)

    assert len(outcome.accepted) == len(set(outcome.accepted)) == len(outcome.accepted_ms) == 5
    assert 1 <= len(outcome.sold_out_ms) <= 2
    assert outcome.sold_out_after_s is not None


def test_a_load_that_cannot_sell_out_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a moment at which it was."""
    load = SaleLoad("", "lamp-sale", callers=2, seconds=LONG_S, think_s=0.001, sell_out_within_s=0.05)

    outcome = called(monkeypatch, Shop(units=10_000_000), load)

    assert outcome.sold_out_after_s is None
    assert not outcome.failures


def test_each_caller_without_an_answer_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is silent has failed all of them."""
    monkeypatch.setattr(callers, "DEADLINE_S", 0.05 - LONG_S - callers.CONNECT_S)  # and the load itself is long

    outcome = called(monkeypatch, Shop(5, is_silent=True), SaleLoad("", "lamp-sale", callers=3, seconds=LONG_S))

    assert outcome.failures == {"no answer": 3}


def test_an_outcome_is_the_last_line() -> None:
    """Before it the process says that it is ready."""
    assert outcome_from('ready\n{"accepted": ["1-1"], "seconds": 2.5}\n') == Outcome(accepted=["1-1"], seconds=2.5)
