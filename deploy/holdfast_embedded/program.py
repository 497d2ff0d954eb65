"""A program of ours under the supervisor: what is run under which name, and its process, whose log is passed on."""

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO

from holdfast_embedded.child import spawn
from holdfast_embedded.console import Say
from holdfast_embedded.process import Process

LAST_WORDS_S = 1.0

Environment = Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class Plan:
    """What is run under a name: the arguments after `python`, and what the supervisor must know of it."""

    name: str
    arguments: tuple[str, ...]
    uses_broker: bool = False  # started anew when the embedded broker's address changes
    grace_s: float = 10.0  # before SIGKILL; Faust hangs at times
    environment: Mapping[str, str] = field(default_factory=dict)  # what this one alone is told

    def copy(self, number: int, **environment: str) -> "Plan":
        """Return the same program once more, under a name of its own: serve-2, serve-3."""
        return replace(self, name=f"{self.name}-{number}", environment={**self.environment, **environment})


SERVE = Plan("serve", ("-m", "inventory_service", "serve"), grace_s=20.0)  # it drains its calls
COMPENSATE = Plan("compensate", ("-m", "inventory_service", "compensate"), uses_broker=True)
RELAY = Plan("relay", ("-m", "inventory_service", "relay"), uses_broker=True)
PERSIST = Plan("persist", ("-m", "order_persister", "persist"), uses_broker=True)
MIGRATE = Plan("migrate", ("-m", "order_persister", "migrate"))
TOPICS = Plan("topics", ("-m", "inventory_service", "topics"))
INIT = Plan("init", ("-m", "inventory_service", "init"))


@dataclass(frozen=True)
class Plans:
    """All programs of a stack. Tests put others in their place."""

    migrate: Plan = MIGRATE
    topics: Plan = TOPICS
    init: Plan = INIT
    # In the order of ending: first who takes calls, then who works through what was taken.
    services: tuple[Plan, ...] = (SERVE, COMPENSATE, RELAY, PERSIST)


class Program(Process):
    """A Python process whose environment is asked for at each start, for addresses change."""

    def __init__(self, plan: Plan, environment: Environment, say: Say) -> None:
        super().__init__(plan.name)
        self.plan = plan
        self._environment = environment
        self._say = say
        self._passing_on: threading.Thread | None = None

    def start(self) -> None:
        """Start it; what it then needs (servers, a take-over) it waits for itself."""
        self._process = process = spawn(
            [sys.executable, *self.plan.arguments],
            env={**self._environment(), **self.plan.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        self._passing_on = threading.Thread(target=self._pass_on, args=[process.stdout], daemon=True)
        self._passing_on.start()

    def stop(self, grace_s: float = 10.0) -> bool:
        """End it, and return after its last words were said."""
        in_order = super().stop(grace_s)
        if self._passing_on is not None:
            self._passing_on.join(LAST_WORDS_S)
        return in_order

    def _pass_on(self, output: IO[bytes]) -> None:
        """Say every line until the process has closed its end."""
        with output:
            for line in output:
                self._say(self.name, line.decode(errors="replace").rstrip())
