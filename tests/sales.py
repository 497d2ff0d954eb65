"""Make a sale straight in a stock, as a server does whose ledger knows none of this id."""

from inventory_service.domain.ports import Stock
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, SaleRead, SaleUnknown


async def make_sale(stock: Stock, request: CreateSale) -> SaleRead | Failure:
    """Make it, or hear how it stands or why not."""
    answer = await stock.change_sale(request)
    if isinstance(answer, SaleUnknown):
        answer = await stock.change_sale(request._replace(generation=answer.generation))
    assert not isinstance(answer, SaleUnknown), "a sale left the shard meanwhile"
    return answer
