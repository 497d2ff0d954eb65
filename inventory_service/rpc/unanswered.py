"""End a call that got no answer: with what the store refused, or because only the ledger knows and it is away."""

from collections.abc import Awaitable
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.requests import SaleKey
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.domain.verdicts import Failure
from inventory_service.rpc.status import CallFailed

T = TypeVar("T")


def answered(verdict: T | Failure, sale: SaleKey, reservation_id: str = "") -> T:
    """The verdict, unless it is a refusal; that ends the call and tells what it was about."""
    if isinstance(verdict, Failure):
        raise ended(verdict, sale, reservation_id)
    return verdict


def ended(refusal: Failure, sale: SaleKey, reservation_id: str = "") -> CallFailed:
    """What ends a call that was refused; it names what the call was about."""
    about = {"sale_id": sale.sale_id}
    if reservation_id:
        about["reservation_id"] = reservation_id
    return CallFailed(refusal._replace(metadata={**about, **refusal.metadata}))


async def asked(answer: Awaitable[T]) -> T:
    """The ledger's answer; while it is away the call ends UNAVAILABLE, never with a guess."""
    try:
        return await answer
    except LedgerUnavailable as error:
        raise CallFailed(Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)) from error
