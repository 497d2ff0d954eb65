"""Calls that compare Redis with the ledger: AuditSale."""

import asyncio

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.sale_reconciliation import SaleAudit
from inventory_service.rpc.auth import tenant_of
from inventory_service.rpc.calls.call import Context
from inventory_service.rpc.calls.reads import sale_named
from inventory_service.rpc.messages import position_to_proto
from inventory_service.rpc.status import value_or_fail
from inventory_service.service.sale_audit import SaleAudits


class AuditCalls:
    """The calls that audit."""

    def __init__(self, audits: SaleAudits, draining: asyncio.Event) -> None:
        self._audits = audits
        self._draining = draining

    async def AuditSale(self, request: admin.AuditSaleRequest, context: Context) -> admin.AuditSaleResponse:
        """Compare a sale in Redis with the ledger. It may take minutes, so a drain ends it and does not wait."""
        sale = sale_named(request, tenant_of(context))
        return response_from_audit(value_or_fail(await self._until_draining(sale), sale))

    async def _until_draining(self, sale: SaleKey) -> SaleAudit | Failure:
        audit = asyncio.create_task(self._audits.audit(sale))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((audit, draining), return_when=asyncio.FIRST_COMPLETED)
            return audit.result() if audit.done() else Failure(reasons.ERROR_REASON_SERVER_DRAINING)
        finally:
            audit.cancel()
            draining.cancel()


def response_from_audit(audit: SaleAudit) -> admin.AuditSaleResponse:
    """What the comparison found."""
    response = admin.AuditSaleResponse(
        consistent=not audit.differences,
        as_of=position_to_proto(audit.as_of),
        items_compared=audit.items,
        reservations_compared=audit.reservations,
        truncated=audit.is_truncated,
    )
    for subject, redis_value, ledger_value in audit.differences:
        response.differences.add(subject=subject, redis_value=redis_value, ledger_value=ledger_value)
    return response
