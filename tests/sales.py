"""Creates a sale directly in a stock, as the server does if the ledger has no sale of this id."""

from inventory_service.domain.ports import Stock
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, SaleRead, SaleUnknown


async def make_sale(stock: Stock, request: CreateSale) -> SaleRead | Failure:
    """Create it; return the sale as it is now, or the failure."""
    answer = await stock.change_sale(request)
    if isinstance(answer, SaleUnknown):
        answer = await stock.change_sale(request._replace(generation=answer.generation))
    assert isinstance(answer, SaleRead | Failure), "a sale left the shard meanwhile"
    return answer
