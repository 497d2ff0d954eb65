"""Charts as SVG: lines over a linear or a logarithmic axis, coloured by the variables of a style sheet."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 34
TICKS = 5
STEPS = (1, 2, 2.5, 5, 10)
SERIES_COLOURS = 4  # variables --series-1 to --series-4
STYLE = Path(__file__).with_name("chart.css")


@dataclass(frozen=True)
class Series:
    """A line; a value that is None is a gap."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    dots: bool = False  # mark each value: few and far between, it was measured there alone


@dataclass(frozen=True)
class Axis:
    """From values to places on the screen."""

    least: float
    most: float
    start: float
    end: float
    is_log: bool

    def place(self, value: float) -> float:
        """Where a value lies."""
        low, high, at = (math.log(v) if self.is_log else v for v in (self.least, self.most, max(value, self.least)))
        return self.start + (at - low) / ((high - low) or 1) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values between both ends."""
        return log_ticks(self.least, self.most) if self.is_log else linear_ticks(self.most)


def chart(
    title: str, x_label: str, y_label: str, lines: Sequence[Series], *, log_x: bool = False, named: bool = False
) -> str:
    """A chart of some lines, at whose ends their names stand if asked for; its y axis begins at 0."""
    xs = [x for line in lines for x in line.xs if x > 0 or not log_x]
    ys = [y for line in lines for y in line.ys if y is not None]
    if not xs or not ys:
        return f"<p>{escape(title)}: no values</p>"
    across = Axis(min(xs) if log_x else 0.0, max(xs), LEFT, WIDTH - RIGHT, log_x)
    up = Axis(0.0, linear_ticks(max(ys) or 1.0)[-1], HEIGHT - BOTTOM, TOP, is_log=False)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="{LEFT}" y="14">{escape(title)}</text>',
        *_grid(across, up),
        f'<text class="label" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>',
        f'<text class="label" x="{WIDTH - RIGHT}" y="14" text-anchor="end">{escape(y_label)}</text>',
        *(part for number, line in enumerate(lines) for part in _line(number, line, across, up)),
        *(_name(line, across, up) for line in lines if named),
        "</svg>",
    ]
    return "\n".join(parts)


def standalone(drawn: str) -> str:
    """A chart as a file of its own, which a page shows as an image."""
    size = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
    head, _, rest = drawn.partition("\n")
    return f"{head.replace('<svg', f'<svg {size}', 1)}\n<style>{STYLE.read_text()}</style>\n{rest}\n"


def legend(names: Sequence[str]) -> str:
    """The colours of a chart's lines; nothing where there is one line, whose name is the title's."""
    marks = [
        f'<span class="key key-{number % SERIES_COLOURS + 1}"></span>{escape(n)}' for number, n in enumerate(names)
    ]
    return f'<p class="legend">{" ".join(marks)}</p>' if len(names) > 1 else ""


def linear_ticks(most: float) -> list[float]:
    """From 0 to the first round value that is not below the greatest."""
    rough = (most or 1.0) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in STEPS if factor * power >= rough * 0.999)
    return [round(step * number, 10) for number in range(math.ceil(most / step - 1e-9) + 1)]


def log_ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 of each power of ten between two values, or the powers alone if those are many."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    ticks = [round(factor * 10.0**power, 10) for power in powers for factor in factors]
    return [tick for tick in ticks if least * 0.999 <= tick <= most * 1.001]


def short(value: float) -> str:
    """A number of an axis."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    for tick in up.ticks():
        y = up.place(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 3:.1f}" text-anchor="end">{short(tick)}</text>'
    for tick in across.ticks():
        if tick <= across.most * 1.001:
            x = across.place(tick)
            yield f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{short(tick)}</text>'


def _name(line: Series, across: Axis, up: Axis) -> str:
    """Above the last value."""
    x, y = next((x, y) for x, y in reversed(list(zip(line.xs, line.ys, strict=True))) if y is not None)
    place = f'x="{across.place(x):.1f}" y="{up.place(y) - 7:.1f}"'
    return f'<text class="label" {place} text-anchor="end">{escape(line.name)}</text>'


def _line(number: int, line: Series, across: Axis, up: Axis) -> Iterator[str]:
    colour = f"series series-{number % SERIES_COLOURS + 1}"
    points = [(x, y) for x, y in zip(line.xs, line.ys, strict=True)]
    path, is_open = [], False
    for x, y in points:
        if y is not None:
            path.append(f"{'L' if is_open else 'M'}{across.place(x):.1f} {up.place(y):.1f}")
        is_open = y is not None
    yield f'<path class="{colour}" d="{" ".join(path)}"><title>{escape(line.name)}</title></path>'
    if line.dots:
        for x, y in points:
            if y is not None:
                place = f'cx="{across.place(x):.1f}" cy="{up.place(y):.1f}"'
                said = escape(f"{line.name}: {short(x)}, {y:,.3g}")
                yield f'<circle class="{colour}" {place} r="3"><title>{said}</title></circle>'
