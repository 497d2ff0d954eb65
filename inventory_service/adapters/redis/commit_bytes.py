"""What the scripts put into commits for us: claims and sales as bytes, encoded once, where the request came in."""

from holdfast.inventory.v1.commit_pb2 import Claim, SaleMade
from holdfast.inventory.v1.sale_pb2 import Item as ProtoItem
from holdfast.inventory.v1.sale_pb2 import Sale as ProtoSale

from inventory_service.domain.requests import CreateSale, Reserve, SaleKey


def claim_of(request: Reserve) -> bytes:
    """Encode what a Reserve claims."""
    (tenant, sale_id), reservation_id, buyer_id, lines, _ = request
    claim = Claim()  # set field by field: this is asked often, and by keywords it takes a fifth longer
    claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id = tenant, sale_id, reservation_id, buyer_id
    for sku, quantity in lines:
        line = claim.lines.add()
        line.sku, line.quantity = sku, quantity
    return claim.SerializeToString()


def spent_claim(sale: SaleKey, reservation_id: str) -> bytes:
    """Encode the claim of an id that is spent: nobody's, on nothing."""
    return Claim(tenant=sale.tenant, sale_id=sale.sale_id, reservation_id=reservation_id).SerializeToString()


def sale_made(request: CreateSale) -> bytes:
    """Encode a SaleMade but for its start, which the script appends."""
    sale = ProtoSale(
        sale_id=request.sale.sale_id,
        title=request.title,
        buyer_limit=request.buyer_limit,
        items=[ProtoItem(sku=sku, total=total) for sku, total in request.items],
    )
    sale.hold_ttl.FromMilliseconds(request.hold_ttl_ms)
    sale.max_hold_ttl.FromMilliseconds(request.max_hold_ttl_ms)
    if request.start_time_ms is not None:
        sale.start_time.FromMilliseconds(request.start_time_ms)
    if request.end_time_ms is not None:
        sale.end_time.FromMilliseconds(request.end_time_ms)
    return SaleMade(tenant=request.sale.tenant, sale=sale).SerializeToString()
