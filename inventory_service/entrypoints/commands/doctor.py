"""Say of every setting of every server what is promised with it, what no longer is, and how to change it."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from inventory_service.domain.promises.findings import Finding, Standing, exit_code
from inventory_service.entrypoints.promises import Examination, examine

_WORDS = {Standing.KEPT: "kept", Standing.NOTE: "note", Standing.OFF: "OFF", Standing.UNKNOWN: "?"}
_COUNTED = {
    Standing.OFF: ("promise is off", "promises are off"),
    Standing.UNKNOWN: ("is unknown", "are unknown"),
    Standing.NOTE: ("has a note", "have a note"),
    Standing.KEPT: ("is kept", "are kept"),
}


async def run(examinations: Sequence[Examination], as_json: bool, tell: Callable[[str], None]) -> int:
    """The exit code: 0 if every promise is kept, 1 if one is off, 2 if none is and something could not be asked."""
    findings = await examine(examinations)
    tell(_json(findings) if as_json else "\n".join([*lines(findings), _summary(findings)]))
    return exit_code(findings)


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """One line a setting, and below it how to change it where there is reason to."""
    for finding in findings:
        word = _WORDS[finding.standing]
        yield f"{word:4}  {finding.server:8}  {finding.setting} = {finding.value}: {finding.promise}"
        if finding.change:
            yield f"{'':16}  to change it: {finding.change}"


def _summary(findings: Sequence[Finding]) -> str:
    counts = {standing: sum(finding.standing is standing for finding in findings) for standing in _COUNTED}
    told = [f"{count} {_COUNTED[standing][count != 1]}" for standing, count in counts.items() if count]
    return f"{len(findings)} settings: {', '.join(told)}."


def _json(findings: Sequence[Finding]) -> str:
    code = exit_code(findings)
    return json.dumps({"kept": code == 0, "findings": [finding._asdict() for finding in findings]}, indent=2)
