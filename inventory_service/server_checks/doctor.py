"""Writes the report of `holdfast doctor`: each setting, what is promised with it or no longer, and how to change it."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from inventory_service.server_checks.results import CheckResult, Level, exit_code
from inventory_service.server_checks.run import Check, run_checks

_WORDS = {Level.OK: "ok", Level.NOTE: "note", Level.FAIL: "FAIL", Level.UNKNOWN: "?"}
_COUNTED = {
    Level.FAIL: ("fails", "fail"),
    Level.UNKNOWN: ("is unknown", "are unknown"),
    Level.NOTE: ("has a note", "have a note"),
    Level.OK: ("is ok", "are ok"),
}


async def run(checks: Sequence[Check], as_json: bool, write: Callable[[str], None], strict: bool = False) -> int:
    """The exit code: 0 if no setting fails, 1 if one does; with `strict`, 2 if none fails and one is unknown."""
    results = await run_checks(checks)
    write(_json(results) if as_json else "\n".join([*lines(results), _summary(results)]))
    return exit_code(results, strict)


def lines(results: Iterable[CheckResult]) -> Iterator[str]:
    """One line a setting, and below it how to change it where there is reason to."""
    for result in results:
        word = _WORDS[result.level]
        yield f"{word:4}  {result.server:8}  {result.setting} = {result.value}: {result.promise}"
        if result.change:
            yield f"{'':16}  to change it: {result.change}"


def _summary(results: Sequence[CheckResult]) -> str:
    counts = {level: sum(result.level is level for result in results) for level in _COUNTED}
    spelled = [f"{count} {_COUNTED[level][count != 1]}" for level, count in counts.items() if count]
    return f"{len(results)} settings: {', '.join(spelled)}."


def _json(results: Sequence[CheckResult]) -> str:
    code = exit_code(results, strict=True)
    return json.dumps({"ok": code == 0, "results": [result._asdict() for result in results]}, indent=2)
