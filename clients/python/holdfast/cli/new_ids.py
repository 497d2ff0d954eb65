"""Ids that the command makes up where none is given, and how it prints them."""

from uuid import uuid4

from holdfast.cli.terminal import messages


class NewId:
    """An id that was given, or a random one that begins with `prefix`."""

    def __init__(self, given: str, prefix: str) -> None:
        self.id = given or f"{prefix}-{uuid4().hex[:12]}"
        self._is_made_up = not given

    def print(self, name: str, *, repeat_with: str = "--id") -> None:
        """Print one that was made up, before the call, so that an interrupted one can be repeated."""
        if self._is_made_up:
            repeat = f" (repeat with {repeat_with} {self.id})" if repeat_with else ""
            messages.print(f"{name} id {self.id}{repeat}", style="dim")
