"""The errors of failed calls: one class for each reason, for a caller to catch. Sold out is no error.

The base of a class is its kind; a reason that this version of the client does not know is raised as its kind. Errors
can be pickled and copied.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from holdfast.inventory.v1.reservation_pb2 import Reservation


@dataclass(frozen=True, slots=True)
class Details:
    """What a call was about, and the details of its status; these are empty if gRPC itself made the status."""

    reason: str = ""  # the name of an `ErrorReason`
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None  # the pause that the server asks for; None: it asks for none
    reservation: Reservation | None = None  # its present state, where the reason is about its state
    violations: Mapping[str, str] = field(default_factory=dict)  # field to what is wrong with it
    ids: Mapping[str, str] = field(default_factory=dict)  # those of the request: `sale_id`, `reservation_id` and others


class HoldfastError(Exception):
    """A call that failed. `reason` is the name of an `ErrorReason`, or '' if gRPC or this client made the status."""

    repeatable = False  # whether the same request may succeed later
    judged = False  # whether the server looked at the state, which shows what earlier attempts of the call did
    outcome_unknown = False  # whether it may have been done nevertheless

    def __init__(self, code: grpc.StatusCode, message: str, details: Details | None = None) -> None:
        details = details or Details()
        super().__init__(code, message, details)  # pickle and copy make the error anew from these
        self.code = code
        self.message = message
        self.reason = details.reason
        self.metadata = details.metadata
        self.retry_after_s = details.retry_after_s
        self.reservation = details.reservation
        self.violations = details.violations
        self.ids = details.ids

    def __str__(self) -> str:
        about = f"{describe(self.ids)}: " if describe(self.ids) else ""
        fields = "".join(f" {field}: {wrong}." for field, wrong in self.violations.items())
        facts = "".join(f", {name} {value}" for name, value in self.metadata.items() if name not in self.ids)
        unknown = ", outcome unknown" if self.outcome_unknown else ""
        return f"{about}{self.message}{fields} [{self.tag}{facts}{unknown}]"

    @property
    def tag(self) -> str:
        """The reason without its prefix, which is the name to search the docs for; without a reason the code."""
        return self.reason.removeprefix("ERROR_REASON_") or self.code.name


def describe(ids: Mapping[str, str]) -> str:
    """What a call is about: `reservation r-1 of sale lamps`, `item lamp of sale lamps`, `buyer ada`."""
    kinds = {
        "adjustment_id": "adjustment",
        "reservation_id": "reservation",
        "sku": "item",
        "sale_id": "sale",
        "dead_letter_id": "dead letter",
        "jti": "token",
        "subject": "tokens of",
    }
    parts = [f"{kind} {ids[field]}" for field, kind in kinds.items() if ids.get(field)]
    return " of ".join(parts) or (f"buyer {ids['buyer_id']}" if ids.get("buyer_id") else "")


class Closed(HoldfastError):
    """The client can make no calls: it was closed, or this process was forked while clients of its parent were open.

    A call that was under way when the client was closed ends so too; `outcome_unknown` says whether it was sent.
    """

    def __init__(
        self, code: grpc.StatusCode = grpc.StatusCode.CANCELLED, message: str = "", details: Details | None = None
    ) -> None:
        super().__init__(code, message or "The client is closed.", details)


class InvalidRequest(HoldfastError):
    """The request has fields out of bounds, or is unreadable; `violations` names the fields."""


class NotBuilt(HoldfastError):
    """The server does not implement this call or field yet."""


class NotFound(HoldfastError):
    """A sale, item, reservation or dead letter does not exist."""

    judged = True


class SaleNotFound(NotFound):
    """The sale does not exist."""


class ItemNotFound(NotFound):
    """The sale has no such item."""


class ReservationNotFound(NotFound):
    """The reservation does not exist."""


class DeadLetterNotFound(NotFound):
    """The dead letter does not exist."""


class IdReused(HoldfastError):
    """The id was used before for something else."""

    judged = True


class ReservationIdReused(IdReused):
    """The reservation's id was used with another buyer, other lines, another `hold_ttl` or another `reference`."""


class SaleIdReused(IdReused):
    """The sale's id was used with other settings, or by an archived sale."""


class AdjustmentIdReused(IdReused):
    """The adjustment's id was used for another change."""


class WrongState(HoldfastError):
    """The state does not allow the call; `reservation` is the reservation, if the call is about one."""

    judged = True


class WrongReservationState(WrongState):
    """The reservation's state does not allow the move."""


class ConfirmedOtherwise(WrongState):
    """The reservation was confirmed before with other lines."""


class MoreThanHeld(WrongState):
    """The call names more units than the reservation holds."""


class MoreThanSold(WrongState):
    """The return names more units than were sold."""


class SaleWithoutHolds(WrongState):
    """`hold_ttl` was asked of a sale in which every Reserve is a purchase."""


class WrongSaleState(WrongState):
    """The sale's state does not allow the change."""


class StockInUse(WrongState):
    """The total would fall below what is held and sold."""


class WrongDeadLetterState(WrongState):
    """The dead letter is not settled, or its caller ended the order."""


class Outdated(HoldfastError):
    """The data changed since the caller read it; read it again. `reservation` is what stands, if it is about one."""

    judged = True


class EtagMismatch(Outdated):
    """The sale's settings have changed."""


class TotalMismatch(Outdated):
    """The item's total is not the expected one."""


class RevisionMismatch(Outdated):
    """The reservation's revision is not the expected one."""


class NotAllowed(HoldfastError):
    """The caller may not do this."""


class TokenUnavailable(NotAllowed):
    """The client has no token that it can send: the function or file that gives it failed, as `__cause__` says."""


class TokenInvalid(NotAllowed):
    """Neither a valid token nor a client certificate says who calls; `problem` says what is wrong."""


class TokenRevoked(NotAllowed):
    """The token was revoked."""


class ScopeMissing(NotAllowed):
    """The token lacks a scope or the tenant."""


class TryLater(HoldfastError):
    """The server cannot answer now. Repeat with the same ids; `outcome_unknown` says whether it may have been done."""

    repeatable = True


class Throttled(TryLater):
    """The caller sends too many calls."""


class Overloaded(TryLater):
    """The server has too many calls in flight."""


class StoreUnreachable(TryLater):
    """The server cannot reach Redis."""


class ShardNotServing(TryLater):
    """The sale's shard waits for a take-over or is frozen; `metadata["frozen_reason"]` says why."""


class LedgerBehind(TryLater):
    """No new reservation is taken: the ledger is too far behind, or Redis is short of memory. Other calls work."""


class LedgerUnreachable(TryLater):
    """The answer is in the ledger, which the server cannot reach."""


class ServerDraining(TryLater):
    """The server is stopping; call another."""


class DeadlineTooShort(TryLater):
    """The deadline left the server too little time to start."""


class OutcomeUnknown(TryLater):
    """The server does not know whether it was done."""

    outcome_unknown = True


class NoAnswer(OutcomeUnknown):
    """No answer of the service came: the connection failed or broke, the deadline passed, or gRPC itself failed."""
