"""The page of results: whole, and on its own."""

import re
from xml.etree import ElementTree

import pytest

from bench.page import page
from bench.svg import Series, chart, linear_ticks, log_ticks
from tests.unit.bench.test_figures import RESULT

GROWTH = {
    **RESULT,
    "titles": {"sales": "Sales that are open"},
    "points": {"sales": [{"of": of, "cpu_us": {"serve": 90.0, "valkey": 20.0}} for of in (1, 10, 10_000)]},
}
PAGE = page({"steady": RESULT, "growth": GROWTH})


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """It can be read where there is no network, and tells no other server that it is."""
    assert not re.search(r"(src|href)=|url\(|@import|<script|<link", PAGE)
    assert "prefers-color-scheme: dark" in PAGE


def test_each_result_has_its_charts_and_its_figures() -> None:
    """Five charts of a shape, one of a growth; each is well-formed, so that a browser shows all of it."""
    charts = re.findall(r"<svg.*?</svg>", PAGE, re.DOTALL)

    assert len(charts) == 6
    for one in charts:
        assert ElementTree.fromstring(one).get("aria-label")
    assert "<td>998.7</td>" not in PAGE
    assert "<td>999</td>" in PAGE


def test_what_a_result_says_is_no_markup() -> None:
    """Titles come from files."""
    odd = {**RESULT, "shape": {"title": "<b>", "summary": "a & b"}}

    shown = page({"steady": odd})

    assert "<b>" not in shown
    assert "a &amp; b" in shown


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    """Half a second without an answer has no latency, and no line leads over it."""
    drawn = chart("Latency", "s", "ms", [Series("p50", [0, 1, 2, 3], [1.0, None, 2.0, 3.0])])

    [path] = re.findall(r' d="([^"]*)"', drawn)
    assert re.sub(r"[\d. ]", "", path) == "MML"


@pytest.mark.parametrize(
    ("most", "ticks"), [(4.2, [0, 1, 2, 3, 4, 5]), (1000, [0, 200, 400, 600, 800, 1000]), (0.3, [0, 0.1, 0.2, 0.3])]
)
def test_ticks_are_round_and_reach_the_greatest_value(most: float, ticks: list[float]) -> None:
    """From 0 on."""
    assert linear_ticks(most) == ticks


def test_ticks_of_a_logarithm_are_few() -> None:
    """1, 2 and 5 where there are few powers of ten, else the powers."""
    assert log_ticks(1, 20) == [1, 2, 5, 10, 20]
    assert log_ticks(1, 10**6) == [10**power for power in range(7)]
