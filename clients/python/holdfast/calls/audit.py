"""The calls of an operator who looks into what went wrong: audits, and dead letters that are replayed."""

from holdfast.caller import Caller
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    AuditSaleRequest,
    AuditSaleResponse,
    ReplayDeadLetterRequest,
    ReplayDeadLetterResponse,
)


class AuditCalls(Caller):
    """Each method is one call."""

    async def audit_sale(self, sale_id: str) -> AuditSaleResponse:
        """Compare Redis with the ledger while both go on working; what differs comes back, and raises nothing.

        It waits for `RetryPolicy.audit_s`, as long as a server may take.
        """
        audit_s = self._retry.audit_s
        request = AuditSaleRequest(sale_id=sale_id)
        patient = self.with_options(timeout_s=audit_s)
        return await patient._read(lambda stubs: stubs.operators.AuditSale, request, attempt_s=audit_s)

    async def replay_dead_letter(self, dead_letter_id: str, reservation_id: str) -> ReplayDeadLetterResponse:
        """Reserve anew, as `reservation_id`, what a refused order had; the outcome is as of `reserve`.

        Choose a new `reservation_id` and keep it: the same id finishes what an error interrupted, and is spent by a
        rejection.
        """
        request = ReplayDeadLetterRequest(dead_letter_id=dead_letter_id, reservation_id=reservation_id)
        return await self._ask(lambda stubs: stubs.operators.ReplayDeadLetter, request)
