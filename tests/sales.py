"""Make a sale straight in a stock, as a server does whose ledger knows none of this id."""

from inventory_service.domain.ports import Stock
from inventory_service.domain.requests import CreateSale
from inventory_service.domain.verdicts import Failure, SaleFound, SaleUnknown


async def make_sale(stock: Stock, request: CreateSale) -> SaleFound | Failure:
    """Make it, or hear how it stands or why not."""
    answer = await stock.create_sale(request)
    if isinstance(answer, SaleUnknown):
        answer = await stock.create_sale(request, answer)
    assert not isinstance(answer, SaleUnknown), "a sale left the shard meanwhile"
    return answer
