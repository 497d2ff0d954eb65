"""What a call can fail with: one class a reason, so that a caller can name what it expects. Sold out is none of them.

A class' base says what kind of trouble it is; a reason that is newer than this client arrives as such a base.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from holdfast.inventory.v1.reservation_pb2 import Reservation


@dataclass(frozen=True, slots=True)
class Details:
    """What a status says beside its code; empty where gRPC itself gave the status."""

    reason: str = ""  # the name of an `ErrorReason`
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None  # how long the server asks to wait; None: it does not say
    reservation: Reservation | None = None  # as it stands, where the reason is about its state
    violations: Mapping[str, str] = field(default_factory=dict)  # field to what is wrong with it


class HoldfastError(Exception):
    """A request that was not judged. `reason` is the name of an `ErrorReason`, or '' if gRPC itself gave the status."""

    repeatable = False  # the same request may fare better later

    def __init__(self, code: grpc.StatusCode, message: str, details: Details) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = details.reason
        self.metadata = details.metadata
        self.retry_after_s = details.retry_after_s
        self.reservation = details.reservation
        self.violations = details.violations
        self.outcome_unknown = False  # it may have been done all the same


class InvalidRequest(HoldfastError):
    """The request breaks the rules for requests; `violations` names the fields."""


class NotBuilt(HoldfastError):
    """The server knows this call or field and does not do it yet."""


class NotFound(HoldfastError):
    """What the request names does not exist."""


class SaleNotFound(NotFound):
    """There is no such sale."""


class ItemNotFound(NotFound):
    """The sale has no such item."""


class ReservationNotFound(NotFound):
    """There is no such reservation."""


class DeadLetterNotFound(NotFound):
    """There is no such dead letter."""


class IdReused(HoldfastError):
    """The id belongs to something else."""


class ReservationIdReused(IdReused):
    """The reservation's id was used with another body."""


class SaleIdReused(IdReused):
    """The sale's id was used with another body, or by a sale of the past."""


class AdjustmentIdReused(IdReused):
    """The adjustment's id was used with another body."""


class WrongState(HoldfastError):
    """What the request names cannot be moved so from where it stands; `reservation` is it, if it is one."""


class WrongReservationState(WrongState):
    """The reservation's state forbids the move."""


class ConfirmedOtherwise(WrongState):
    """The reservation was confirmed before with other lines."""


class MoreThanHeld(WrongState):
    """More was asked for than the reservation holds."""


class SaleWithoutHolds(WrongState):
    """`hold_ttl` was asked of a sale in which every Reserve is a purchase."""


class WrongSaleState(WrongState):
    """The sale's state forbids the change."""


class StockInUse(WrongState):
    """The total would fall below what is held and sold."""


class WrongDeadLetterState(WrongState):
    """The dead letter is not settled."""


class Outdated(HoldfastError):
    """The caller's picture is no longer true; read again."""


class EtagMismatch(Outdated):
    """The sale's settings have changed."""


class TotalMismatch(Outdated):
    """The item's total is another."""


class NotAllowed(HoldfastError):
    """The caller may not do this."""


class TokenInvalid(NotAllowed):
    """There is no token, or one that is not believed."""


class TokenRevoked(NotAllowed):
    """The token was revoked."""


class ScopeMissing(NotAllowed):
    """The token lacks a scope or the tenant."""


class TryLater(HoldfastError):
    """There was no judgement yet. Repeat with the same ids; `outcome_unknown` tells whether it may have been done."""

    repeatable = True


class Throttled(TryLater):
    """The caller asks too often."""


class Overloaded(TryLater):
    """The server has too many calls in flight."""


class StoreUnreachable(TryLater):
    """The server cannot reach Redis."""


class ShardNotServing(TryLater):
    """The sale's shard waits for a take-over or is frozen; metadata `frozen_reason` says why."""


class LedgerBehind(TryLater):
    """No room for new claims: the ledger is too far behind, or Redis is near its share of memory. Settling works."""


class LedgerUnreachable(TryLater):
    """Only the ledger could answer, and it cannot be reached."""


class ServerDraining(TryLater):
    """The server is going; another will answer."""


class DeadlineTooShort(TryLater):
    """Too little time was left to start."""


class OutcomeUnknown(TryLater):
    """The server cannot tell whether it was done."""

    def __init__(self, code: grpc.StatusCode, message: str, details: Details) -> None:
        super().__init__(code, message, details)
        self.outcome_unknown = True


class NoAnswer(OutcomeUnknown):
    """Nobody answered: the connection failed or broke, or the deadline passed."""
