"""Logs each line of the libraries in every Python process that has this folder on its path, repeated ones too."""

from holdfast_runtime import logs


def log_each(_filter: object, _record: object) -> bool:
    """As if no line were a repetition."""
    return True


logs.RepeatFilter.filter = log_each  # type: ignore[assignment, method-assign]
