"""What all calls on the stock have in common."""

from typing import Any, Protocol, TypeAlias

from grpc.aio import ServicerContext

from inventory_service.domain.plain_reserve import PlainHold
from inventory_service.domain.ports import Stock
from inventory_service.domain.results import Granted, Rejected

Context: TypeAlias = "ServicerContext[Any, Any]"


class CountsOutcomes(Protocol):
    """Counts what requests for units were answered with: granted or rejected, the call's status is OK."""

    def count_reserve(self, result: PlainHold | Granted | Rejected) -> None: ...

    def count_change(self, result: Granted | Rejected) -> None: ...


class StockCalls:
    """Calls that ask one stock."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock


class ClaimCalls(StockCalls):
    """Calls that claim units, and are granted or rejected."""

    def __init__(self, stock: Stock, outcomes: CountsOutcomes) -> None:
        super().__init__(stock)
        self._outcomes = outcomes
