"""Tells what `sale apply` does, step by step or as one JSON object, and what its --check finds."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from holdfast.cli.fail import CommandFailed
from holdfast.cli.render import show
from holdfast.cli.sale_differences import Kind, Plan, Step
from holdfast.cli.terminal import messages

DONE = {
    Kind.CREATE: "created",
    Kind.PAUSE: "paused",
    Kind.CHANGE: "changed",
    Kind.ADD: "added",
    Kind.ADJUST: "adjusted",
    Kind.RESUME: "resumed",
    Kind.CLOSE: "closed",
}
MISSING, DIFFERS, UNCHANGED, FAILED, NOT_TRIED = "missing", "differs", "unchanged", "failed", "not tried"
WIDTH = len("cannot change")


class Report:
    """Takes the plans one after the other: `begin`, what was done, `end`. Of a check everything is still to do."""

    def __init__(self, plans: Sequence[Plan], as_json: bool, *, is_check: bool = False) -> None:
        self._plans = plans
        self._as_json = as_json
        self._is_check = is_check
        self._place = -1
        self._sales: list[dict[str, Any]] = [
            {
                "sale_id": each.wanted.sale_id,
                "result": NOT_TRIED,
                "changes": [],
                "cannot_change": list(each.fixed),
                "left_alone": list(each.left_alone),
            }
            for each in plans
        ]

    def begin(self) -> None:
        """Go on with the next plan."""
        self._place += 1

    def add(self, steps: Sequence[Step]) -> None:
        """These steps of it were done."""
        for step in steps:
            change = {"change": step.kind.value, "field": step.field, "old": step.old, "new": step.new}
            self._sales[self._place]["changes"].append(change)
            self._show(f"to {step.kind}" if self._is_check else DONE[step.kind], _text(step))

    def end(self) -> None:
        """There is no more to do for it."""
        each = self._plans[self._place]
        result = self._result(each)
        self._sales[self._place]["result"] = result
        if result == UNCHANGED:
            self._show(UNCHANGED)
        for sentence in each.fixed:
            self._show("cannot change", sentence)
        for sentence in each.left_alone:
            self._show("left alone", sentence, "dim")

    def failed(self, failure: CommandFailed) -> None:
        """A step of it failed, or it could not be begun."""
        if self._place >= 0:
            self._sales[self._place]["result"] = FAILED
        failure.results = self._object()
        if not self._as_json:
            self._count()

    def sum_up(self) -> None:
        """All of them are done."""
        if self._as_json:
            print(json.dumps(self._object(), indent=2))
        else:
            self._count()

    def _result(self, each: Plan) -> str:
        if not each.steps and not each.fixed:
            return UNCHANGED
        if self._is_check:
            return MISSING if each.creates else DIFFERS
        return DONE[Kind.CREATE if each.creates else Kind.CHANGE]

    def _object(self) -> dict[str, object]:
        return {"check": self._is_check, "sales": self._sales}

    def _count(self) -> None:
        counts = Counter(sale["result"] for sale in self._sales)
        found = ", ".join(f"{count:,} {result}" for result, count in counts.items())
        messages.print(f"{len(self._sales):,} sale{'s' if len(self._sales) > 1 else ''}: {found}", style="dim")

    def _show(self, word: str, text: str = "", style: str = "") -> None:
        if not self._as_json:
            sale_id = self._plans[self._place].wanted.sale_id
            show(f"{word:<{WIDTH}}  {sale_id}{f'  {text}' if text else ''}", style)


def _text(step: Step) -> str:
    if step.kind is Kind.CREATE:
        return str(step.new)
    if step.kind is Kind.ADD:
        return f"item {step.sku}: {step.new:,} units"
    name = f"item {step.sku}: total" if step.kind is Kind.ADJUST else f"{step.field}:"
    return f"{name} {_or_none(step.old)} -> {_or_none(step.new)}"


def _or_none(value: str | int | None) -> str:
    return "none" if value in (None, "") else f"{value:,}" if isinstance(value, int) else str(value)
