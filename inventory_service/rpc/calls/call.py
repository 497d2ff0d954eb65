"""What all calls on the stock have in common."""

from typing import Any, TypeAlias

from grpc.aio import ServicerContext

from inventory_service.domain.ports import Stock

Context: TypeAlias = "ServicerContext[Any, Any]"


class StockCalls:
    """Calls that ask one stock."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
