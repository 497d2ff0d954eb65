"""What `--help` says of a command's settings."""

import textwrap
from collections.abc import Iterator, Sequence

from holdfast_runtime.settings import SharedSettings, list_settings

WIDTH = 100


def settings_text(kind: type[SharedSettings], names: Sequence[str]) -> str:
    """These settings, each with its default, its meaning and its unit, as an epilog that keeps its lines."""
    return "\n".join(["\b", "Settings, read from the environment at the start:", *_lines(kind, names)])


def _lines(kind: type[SharedSettings], names: Sequence[str]) -> Iterator[str]:
    listed = {setting.name: setting for setting in list_settings(kind)}
    for name in names:
        setting = listed[name]
        yield f"{setting.variable} (default: {setting.default or 'empty'})"
        yield textwrap.fill(setting.meaning, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)
