"""Sends the requests of a file in batches, prints a result a line in their order, and sums up."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn

import typer
from rich.control import Control
from rich.segment import ControlType

from holdfast.bulk.pending import ReserveAnswer
from holdfast.cli.ask import Options, ask, reads_interrupted
from holdfast.cli.fail import DONE, NO, UNKNOWN, CommandFailed, fail, failure_of
from holdfast.cli.json_output import as_dict
from holdfast.cli.render import lines_text, show, word
from holdfast.cli.request_files import NumberedRequest
from holdfast.cli.terminal import messages
from holdfast.client import Client
from holdfast.errors import HoldfastError, NotAllowed, NotBuilt, TryLater
from holdfast.inventory.v1.reservation_pb2 import RejectionReason, ReservationState
from holdfast.statuses import ids_of

BATCH = 200
OF_THE_SERVER = (TryLater, NotAllowed, NotBuilt)  # errors that a request has in common with all others


def reserve_many(options: Options, requests: Sequence[NumberedRequest], *, as_json: bool) -> None:
    """Reserve what all requests ask for; the exit code is that of the worst result."""
    results = Results(len(requests), as_json)

    async def call(client: Client) -> None:
        results.show_progress()
        for batch in _batches(requests):
            answers = await client.batch_reserve([request for _, request in batch])
            results.add(batch, answers)
            if all(isinstance(answer, OF_THE_SERVER) for answer in answers):
                return  # the next batch would only wait for the same error

    def interrupted(is_sent: bool) -> NoReturn:
        if not is_sent:
            reads_interrupted({})(is_sent)
        unknown = "it is unknown whether those that follow were done: run it again with the same file"
        fail(f"interrupted; {results.count:,} requests were answered, and {unknown}", UNKNOWN, "CANCELLED")

    try:
        ask(options, call, {}, interrupted)
    except CommandFailed as failure:
        failure.is_in_lines = as_json
        raise
    finally:
        results.sum_up()
    if results.exit_code:
        raise typer.Exit(results.exit_code)


def _batches(requests: Sequence[NumberedRequest]) -> Iterator[Sequence[NumberedRequest]]:
    return (requests[start : start + BATCH] for start in range(0, len(requests), BATCH))


class Result(NamedTuple):
    """What one request came to: in a word, as a line, as JSON, and as an exit code."""

    word: str
    text: str
    fields: Mapping[str, object]
    exit_code: int


class Results:
    """Prints results as they come, counts them, and shows on a terminal how many there are."""

    def __init__(self, total: int, as_json: bool) -> None:
        self.count = 0
        self.exit_code = DONE
        self._total = total
        self._as_json = as_json
        self._words: Counter[str] = Counter()

    def add(self, batch: Sequence[NumberedRequest], answers: Sequence[ReserveAnswer]) -> None:
        """Print the results of a batch."""
        self._clear_progress()
        for numbered, answer in zip(batch, answers, strict=True):
            result = _result(numbered, answer)
            if self._as_json:
                print(json.dumps({"line": numbered.line, **result.fields}), flush=True)
            else:
                show(f"{result.word:<9}  {result.text}")
            self._words[result.word] += 1
            self.exit_code = max(self.exit_code, result.exit_code)
        self.count += len(batch)
        self.show_progress()

    def sum_up(self) -> None:
        """Print how many requests came to what."""
        self._clear_progress()
        counts = ", ".join(f"{count:,} {word}" for word, count in self._words.most_common())
        not_sent = f", {self._total - self.count:,} without an answer" if self.count < self._total else ""
        messages.print(f"{self._total:,} requests: {counts or 'none answered'}{not_sent}")

    def show_progress(self) -> None:
        """Write how many are answered on a line that the next output takes the place of."""
        if messages.is_terminal and self.count < self._total:
            messages.print(f"{self.count:,} of {self._total:,}", end="")

    def _clear_progress(self) -> None:
        if messages.is_terminal:
            messages.control(Control((ControlType.ERASE_IN_LINE, 2), ControlType.CARRIAGE_RETURN))


def _result(numbered: NumberedRequest, answer: ReserveAnswer) -> Result:
    request = numbered.request
    ids = {"sale_id": request.sale_id, "reservation_id": request.reservation_id}
    if isinstance(answer, HoldfastError):
        failure = failure_of(answer, ids_of(request))
        state = "unknown" if failure.exit_code == UNKNOWN else "failed"
        return Result(state, f"{failure.message} [{failure.tag}]", {**ids, **failure.as_dict()}, failure.exit_code)
    fields = {**ids, "response": as_dict(answer)}
    name = f"{request.reservation_id}  sale {request.sale_id}, buyer {request.buyer_id}"
    if not answer.HasField("reservation"):
        return Result(word(RejectionReason, answer.rejection.reason), name, fields, NO)
    repeat = " (a repeat)" if answer.replayed else ""
    state = word(ReservationState, answer.reservation.state)
    return Result(state, f"{name}: {lines_text(answer.reservation)}{repeat}", fields, DONE)
