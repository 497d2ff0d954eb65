"""Merges the metrics of several processes into those of one page."""

import operator
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

LABEL = "worker"
Page = Sequence[Metric]


class Rule(Enum):
    """How the values that several processes have for one sample are merged."""

    SUM = "sum"
    HIGHEST = "highest"
    LOWEST = "lowest"
    EACH = "each"  # a sample for each process, with the label `worker`


COMBINE: Mapping[Rule, Callable[[float, float], float]] = {
    Rule.SUM: operator.add,
    Rule.HIGHEST: max,
    Rule.LOWEST: min,
}
RULES_OF_TYPES = {"counter": Rule.SUM, "histogram": Rule.SUM, "summary": Rule.SUM}  # any other: EACH
Rules = Mapping[str, Rule]  # by the name of a family


def merge(pages: Mapping[str, Page], rules: Rules) -> Page:
    """One family for each name in `pages`, which are by process.

    The moments at which metrics were created are left out: a sum has none.
    """
    merged: dict[str, Metric] = {}
    for process, page in pages.items():
        for family in page:
            if not family.name.endswith("_created"):
                into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                into.samples += family.samples if _rule(family, rules) is not Rule.EACH else _labelled(family, process)
    return [_combined(family, _rule(family, rules)) for family in merged.values()]


def cumulative(page: Page, rules: Rules) -> Page:
    """What stays in the sums once a process has ended, because a counter never falls: its counters and histograms."""
    return [family for family in page if family.type in RULES_OF_TYPES and _rule(family, rules) is not Rule.EACH]


def _rule(family: Metric, rules: Rules) -> Rule:
    return rules.get(family.name) or RULES_OF_TYPES.get(family.type, Rule.EACH)


def _labelled(family: Metric, process: str) -> list[Sample]:
    return [sample._replace(labels={**sample.labels, LABEL: process}) for sample in family.samples]


def _combined(family: Metric, rule: Rule) -> Metric:
    """The family with one sample for each name and labels."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for sample in family.samples:
        key = sample.name, tuple(sorted(sample.labels.items()))
        earlier = found.get(key)
        found[key] = sample if earlier is None else sample._replace(value=COMBINE[rule](earlier.value, sample.value))
    family.samples = list(found.values())
    return family
