"""How a command fails: the exit codes, and a sentence that names what the call was about."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NoReturn

from holdfast import errors
from holdfast.errors import describe

DONE, NO, NOT_DONE, UNKNOWN = 0, 1, 2, 3
INTERRUPTED = 130  # as a shell has it for a program that Ctrl-C ended
EXIT_CODES = "\n".join(
    [
        "Exit codes:",
        f"  {DONE}  done",
        f"  {NO}  the answer is no: sold out, over a limit, not found, in the wrong state, an id used before",
        f"  {NOT_DONE}  not done: bad usage, not confirmed, not allowed, or no server could answer",
        f"  {UNKNOWN}  unknown whether it was done: repeat with the same ids",
        f"  {INTERRUPTED}  Ctrl-C, where there was nothing to be unknown: it ended a watch, or came before a call",
    ]
)

# By reason, where the client knows more than the server's sentence says; filled in from the ids and the metadata.
RESERVATION = "reservation {reservation_id} of sale {sale_id}"
SENTENCES = {
    "SALE_NOT_FOUND": "sale {sale_id}: does not exist",
    "ITEM_NOT_FOUND": "sale {sale_id}: has no item {sku}",
    "RESERVATION_NOT_FOUND": f"{RESERVATION}: does not exist",
    "RESERVATION_ID_REUSED": (
        f"{RESERVATION}: the id was used before with another buyer, other lines, another hold or another reference;"
        " choose a new id for a new claim"
    ),
    "SALE_ID_REUSED": (
        "sale {sale_id}: the id was used before with other settings, or by an archived sale; choose a new id"
    ),
    "ADJUSTMENT_ID_REUSED": "{about}: the id was used before for another change; choose a new id",
    "WRONG_RESERVATION_STATE": f"{RESERVATION}: is {{state}}, which does not allow this",
    "CONFIRMED_OTHERWISE": f"{RESERVATION}: was confirmed before with {{sold}} {{sku}}, not {{asked}}",
    "MORE_THAN_HELD": f"{RESERVATION}: holds {{held}} {{sku}}, not {{asked}}",
    "MORE_THAN_SOLD": f"{RESERVATION}: {{sold}} {{sku}} were sold, not {{asked}}",
    "REVISION_MISMATCH": f"{RESERVATION}: has changed, and its revision is {{revision}}",
    "WRONG_SALE_STATE": "sale {sale_id}: is {state}, which does not allow this",
    "SALE_WITHOUT_HOLDS": "sale {sale_id}: has no holds, every reserve is a purchase; leave --hold out",
    "STOCK_IN_USE": "item {sku} of sale {sale_id}: {held} are held and {sold} sold, and so many must remain",
    "ETAG_MISMATCH": "sale {sale_id}: has changed since its etag was read",
    "TOTAL_MISMATCH": "item {sku} of sale {sale_id}: {total} are on sale, and another total was expected",
    "DEAD_LETTER_NOT_FOUND": "dead letter {dead_letter_id}: does not exist",
    "WRONG_DEAD_LETTER_STATE": (
        "dead letter {dead_letter_id}: is {state}{as}, and its order is {reservation_state}, which allows no replay"
    ),
    "NOT_BUILT": "{about}: this server does not support {field} yet",
}
WHY_NOT_ALLOWED = ("problem", "claim", "scope")  # the metadata that says what is wrong with a token


class CommandFailed(Exception):
    """Ends the command with `exit_code`; `code` is a gRPC status code by name, `reason` an `ErrorReason` or ''."""

    def __init__(
        self, message: str, exit_code: int, *, code: str, reason: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.is_in_lines = False  # the output has an object a line, so this is one of them
        self.results: Mapping[str, object] = {}  # what was done before, beside the failure in the JSON
        self.tag = ""  # the name to search the API's documentation for, if a server failed the call

    def line(self) -> str:
        """The failure as it is printed on standard error."""
        return f"holdfast: {self.message}" + (f" [{self.tag}]" if self.tag else "")

    def as_dict(self) -> dict[str, object]:
        """The failure as `--json` prints it."""
        error = {"code": self.code, "reason": self.reason, "message": self.message, "metadata": self.metadata}
        return {"error": error, **self.results}


def fail(message: str, exit_code: int = NOT_DONE, code: str = "INVALID_ARGUMENT") -> NoReturn:
    """End the command for a reason that no server gave."""
    raise CommandFailed(message, exit_code, code=code)


def about(ids: Mapping[str, str], sentence: str) -> str:
    """The sentence, with what it is about before it, if `ids` names anything."""
    named = describe(ids)
    return f"{named}: {sentence}" if named else sentence


def failure_of(error: errors.HoldfastError, ids: Mapping[str, str]) -> CommandFailed:
    """What a failed call means to a shell; `ids` names what it was about."""
    if error.outcome_unknown:
        exit_code = UNKNOWN
        unknown = f"it is unknown whether this was done; repeat it with the same ids ({error.message})"
        sentence = about(ids, unknown)
    else:
        exit_code = NO if error.judged else NOT_DONE
        sentence = _sentence(error, ids)
    failure = CommandFailed(sentence, exit_code, code=error.code.name, reason=error.reason, metadata=error.metadata)
    failure.tag = error.tag
    return failure


def _sentence(error: errors.HoldfastError, ids: Mapping[str, str]) -> str:
    """The sentence of the error's reason; otherwise the server's own, with what the call was about before it."""
    if error.violations:
        return about(ids, "; ".join(f"{field}: {why}" for field, why in error.violations.items()))
    if "lost" in error.metadata:
        return about(ids, f"was made, and is lost with commit {error.metadata['lost']}")
    if template := SENTENCES.get(error.reason.removeprefix("ERROR_REASON_")):
        states = {field: _short(state) for field, state in error.metadata.items() if field.endswith("state")}
        replayed_as = error.metadata.get("replayed_as")
        values = {
            "about": describe(ids),
            "field": "this call",
            "as": f" as {replayed_as}" if replayed_as else "",
            **ids,
            **error.metadata,
            **states,
        }
        return template.format_map(defaultdict(lambda: "(not named)", values)).removeprefix(": ")
    if isinstance(error, errors.TryLater):
        frozen = f"; frozen: {error.metadata['frozen_reason']}" if "frozen_reason" in error.metadata else ""
        return about(ids, f"the server cannot answer now, and nothing was done: {error.message}{frozen}")
    why = ", ".join(f"{name}: {error.metadata[name]}" for name in WHY_NOT_ALLOWED if name in error.metadata)
    return about(ids, f"{error.message} ({why})" if why else error.message)


def _short(state: str) -> str:
    """`RESERVATION_STATE_HELD` as `held`."""
    return state.rpartition("_STATE_")[2].lower()
