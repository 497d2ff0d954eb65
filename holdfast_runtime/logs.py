"""Logs one event a line to standard error, in a form for a person or for a machine."""

import logging
import sys
import time
from collections.abc import Sequence

import structlog
from structlog.typing import Processor

NOISY_LIBRARIES = ("aiokafka", "faust", "mode")


def configure_logging(process: str, level: str, form: str, silent: Sequence[str] = ()) -> None:
    """Send structlog's events, and what libraries log in their own way, to standard error; `form`: console or json.

    Noisy libraries show warnings and worse. Those that are `silent` show nothing: they log every attempt to reach a
    server that is away, where the process raises and logs each such error itself.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(form)))
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    quiet = logging.DEBUG if level == "debug" else max(logging.WARNING, logging.getLogger().level)
    for library in NOISY_LIBRARIES:
        logging.getLogger(library).setLevel(quiet)
    for library in silent if level != "debug" else ():
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.contextvars.bind_contextvars(process=process)


class RepeatFilter(logging.Filter):
    """Lets a library log a message once in five seconds: Kafka's client repeats itself while a broker is away."""

    def __init__(self, pause_s: float = 5.0) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._logged: dict[object, float] = {}  # when, the longest ago first; none longer ago than the pause

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str):  # an event of structlog's, which is never a repeat
            return True
        message, now = (record.name, record.msg), time.monotonic()
        self._forget(now - self._pause_s)
        if message in self._logged:
            return False
        self._logged[message] = now
        return True

    def _forget(self, until: float) -> None:
        """Drop what was logged up to this moment: messages with values in them are new each time, and would pile up."""
        while self._logged:
            message = next(iter(self._logged))
            if self._logged[message] > until:
                return
            del self._logged[message]


def _rendering(form: str) -> list[Processor]:
    """A trace is part of its event's one line in JSON; a person gets it below the line."""
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback  # the richer one shows values, the ledger's password among them
    return [drop, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
