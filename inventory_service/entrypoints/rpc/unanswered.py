"""End a call that got no answer: with what the store refused, or because only the ledger knows and it is away."""

from collections.abc import Awaitable
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.requests import SaleKey
from inventory_service.domain.shards import LedgerUnreachable
from inventory_service.domain.verdicts import Refusal
from inventory_service.entrypoints.rpc.status import Refused

T = TypeVar("T")


def answered(verdict: T | Refusal, sale: SaleKey, reservation_id: str = "") -> T:
    """The verdict, unless it is a refusal; that ends the call and tells what it was about."""
    if isinstance(verdict, Refusal):
        raise ended(verdict, sale, reservation_id)
    return verdict


def ended(refusal: Refusal, sale: SaleKey, reservation_id: str = "") -> Refused:
    """What ends a call that was refused; it names what the call was about."""
    about = {"sale_id": sale.sale_id}
    if reservation_id:
        about["reservation_id"] = reservation_id
    return Refused(refusal._replace(metadata={**about, **refusal.metadata}))


async def asked(answer: Awaitable[T]) -> T:
    """The ledger's answer; while it is away the call ends UNAVAILABLE, never with a guess."""
    try:
        return await answer
    except LedgerUnreachable as error:
        raise Refused(Refusal(reasons.ERROR_REASON_LEDGER_UNREACHABLE)) from error
