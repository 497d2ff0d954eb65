"""The two gRPC services, put together from their calls."""

import asyncio

from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceServicer
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceServicer

from inventory_service.domain.many_reserves import ManyReserves
from inventory_service.domain.ports import Stock
from inventory_service.rpc.calls.adjustments import AdjustmentCalls
from inventory_service.rpc.calls.audit import AuditCalls
from inventory_service.rpc.calls.batch_reserve import BatchReserveCalls
from inventory_service.rpc.calls.buyers import BuyerCalls
from inventory_service.rpc.calls.call import CountsOutcomes
from inventory_service.rpc.calls.dead_letters import DeadLetterCalls
from inventory_service.rpc.calls.lists import OperatorListCalls, ReservationListCalls
from inventory_service.rpc.calls.moves import MoveCalls
from inventory_service.rpc.calls.reads import ReadCalls
from inventory_service.rpc.calls.reserve import ReserveCalls
from inventory_service.rpc.calls.reserve_results import ReserveJudge
from inventory_service.rpc.calls.sale_states import SaleStateCalls
from inventory_service.rpc.calls.sales import SaleCalls
from inventory_service.rpc.calls.stream_reserve import StreamReserveCalls
from inventory_service.rpc.calls.tokens import TokenCalls
from inventory_service.rpc.calls.watches import WatchCalls
from inventory_service.rpc.rate import CallerRate
from inventory_service.rpc.slots import Slots, StreamSlots
from inventory_service.rpc.stream_life import StreamLife
from inventory_service.service.blocked_buyers import BlockedBuyers
from inventory_service.service.lists import Lists
from inventory_service.service.many_reserves import UnbatchedReserves
from inventory_service.service.replay import DeadLetterReplay
from inventory_service.service.revocations import TokenRevocations
from inventory_service.service.sale_audit import SaleAudits
from inventory_service.service.watches.watches import Watches


class Servicer(  # type: ignore[misc]  # Reserve and watches answer bytes
    ReserveCalls,
    BatchReserveCalls,
    StreamReserveCalls,
    MoveCalls,
    ReadCalls,
    ReservationListCalls,
    WatchCalls,
    InventoryServiceServicer,
):
    """InventoryService, for the buyers' services."""

    def __init__(
        self,
        stock: Stock,
        outcomes: CountsOutcomes,
        slots: Slots,
        life: StreamLife,
        lists: Lists,
        watches: Watches,
        rate: CallerRate | None = None,
        many: ManyReserves | None = None,
    ) -> None:
        """Without `rate` every caller may call at will; without `many` each request of a batch is a task."""
        ReserveCalls.__init__(self, stock, outcomes)
        judge = ReserveJudge(many or UnbatchedReserves(stock), outcomes)
        BatchReserveCalls.__init__(self, judge, slots, rate)
        StreamReserveCalls.__init__(self, judge, StreamSlots(slots), life, rate)
        ReservationListCalls.__init__(self, lists)
        WatchCalls.__init__(self, watches, life)


class AdminServicer(
    SaleCalls,
    SaleStateCalls,
    AdjustmentCalls,
    BuyerCalls,
    DeadLetterCalls,
    AuditCalls,
    OperatorListCalls,
    TokenCalls,
    InventoryAdminServiceServicer,
):
    """InventoryAdminService, for operators."""

    def __init__(
        self,
        stock: Stock,
        buyers: BlockedBuyers,
        replays: DeadLetterReplay,
        audits: SaleAudits,
        draining: asyncio.Event,
        lists: Lists,
        revocations: TokenRevocations,
    ) -> None:
        SaleCalls.__init__(self, stock)
        BuyerCalls.__init__(self, buyers)
        DeadLetterCalls.__init__(self, replays)
        AuditCalls.__init__(self, audits, draining)
        OperatorListCalls.__init__(self, lists)
        TokenCalls.__init__(self, revocations)
