"""Say what happens, one event a line, for a person or for a machine."""

import logging
import sys
import time

import structlog
from structlog.typing import Processor


def configure_logging(process: str, level: str, form: str) -> None:
    """Send structlog's events, and what libraries log in their own way, to standard error; `form`: console or json."""
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
    handler.addFilter(Sparing())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    quiet = logging.DEBUG if level == "debug" else max(logging.WARNING, logging.getLogger().level)
    for chatty in ("aiokafka", "faust", "mode"):
        logging.getLogger(chatty).setLevel(quiet)
    structlog.contextvars.bind_contextvars(process=process)


class Sparing(logging.Filter):
    """Lets a library say a sentence once in five seconds: Kafka's client repeats itself while a broker is away."""

    def __init__(self, pause_s: float = 5.0) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._said: dict[object, float] = {}  # when, the longest ago first; none longer ago than the pause

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str):  # an event of ours, which is never spared
            return True
        sentence, now = (record.name, record.msg), time.monotonic()
        self._forget(now - self._pause_s)
        if sentence in self._said:
            return False
        self._said[sentence] = now
        return True

    def _forget(self, until: float) -> None:
        """Drop what was said up to this moment: sentences with values in them are new each time, and would pile up."""
        while self._said:
            sentence = next(iter(self._said))
            if self._said[sentence] > until:
                return
            del self._said[sentence]


def _rendering(form: str) -> list[Processor]:
    """A trace is part of its event's one line in JSON; a person gets it below the line."""
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback  # the richer one shows values, which are nobody else's business
    return [drop, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
