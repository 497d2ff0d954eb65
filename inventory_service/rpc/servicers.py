"""The two gRPC services, put together from their calls; the middleware answers UNIMPLEMENTED for those not built."""

from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceServicer
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer

from inventory_service.domain.ports import Stock
from inventory_service.rpc.calls.adjustments import AdjustmentCalls
from inventory_service.rpc.calls.buyers import BuyerCalls
from inventory_service.rpc.calls.call import CountsOutcomes
from inventory_service.rpc.calls.lists import OperatorListCalls, ReservationListCalls
from inventory_service.rpc.calls.moves import MoveCalls
from inventory_service.rpc.calls.reads import ReadCalls
from inventory_service.rpc.calls.reserve import ReserveCalls
from inventory_service.rpc.calls.sale_states import SaleStateCalls
from inventory_service.rpc.calls.sales import SaleCalls
from inventory_service.service.blocked_buyers import BlockedBuyers
from inventory_service.service.lists import Lists


class Servicer(  # type: ignore[misc]  # Reserve answers bytes
    ReserveCalls, MoveCalls, ReadCalls, ReservationListCalls, InventoryServiceServicer
):
    """InventoryService, for the buyers' services."""

    def __init__(self, stock: Stock, outcomes: CountsOutcomes, lists: Lists) -> None:
        ReserveCalls.__init__(self, stock, outcomes)
        ReservationListCalls.__init__(self, lists)


class AdminServicer(
    SaleCalls, SaleStateCalls, AdjustmentCalls, BuyerCalls, OperatorListCalls, InventoryAdminServiceServicer
):
    """InventoryAdminService, for operators."""

    def __init__(self, stock: Stock, buyers: BlockedBuyers, lists: Lists) -> None:
        SaleCalls.__init__(self, stock)
        BuyerCalls.__init__(self, buyers)
        OperatorListCalls.__init__(self, lists)
