"""Logs one event a line to standard error, as text or as JSON."""

import logging
import sys
import time
from collections.abc import Sequence

import structlog
from structlog.typing import Processor

NOISY_LIBRARIES = ("aiokafka", "faust", "mode")
WITH_PASSWORDS = "aiokafka.conn"  # its debug log has each request as it is sent, that for authentication too


def configure_logging(process: str, level: str, form: str, silent: Sequence[str] = ()) -> None:
    """Log structlog's events and the standard library's log records to standard error; `form`: console or json.

    Noisy libraries log warnings and errors only. `silent` ones log nothing: they log every failed connection attempt,
    whose errors the process logs itself. At the level debug both log everything, but for requests with passwords.
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
    handler.addFilter(hide_values_of_grpc)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    quiet = logging.DEBUG if level == "debug" else max(logging.WARNING, logging.getLogger().level)
    for library in NOISY_LIBRARIES:
        logging.getLogger(library).setLevel(quiet)
    if level == "debug":
        logging.getLogger(WITH_PASSWORDS).setLevel(logging.INFO)
    for library in silent if level != "debug" else ():
        logging.getLogger(library).setLevel(logging.CRITICAL)
    structlog.contextvars.bind_contextvars(process=process)


def hide_values_of_grpc(record: logging.LogRecord) -> bool:
    """A filter that hides the value of a header that gRPC cannot decode, be it a token or not, wherever it logs one.

    Only callers cause such records, so they are no errors, and their tracebacks say nothing.
    """
    if record.name.partition(".")[0] == "grpc" and str(record.msg).startswith("Invalid encoding"):
        record.msg, record.args, record.exc_info = str(record.msg).replace("%s", "[not shown]"), (), None
        record.levelno = min(record.levelno, logging.WARNING)
        record.levelname = logging.getLevelName(record.levelno)
    return True


class RepeatFilter(logging.Filter):
    """Lets a library log the same message once in five seconds: aiokafka repeats some while a broker is unavailable."""

    def __init__(self, pause_s: float = 5.0) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._logged: dict[object, float] = {}  # message -> time, oldest first, all within the pause

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str):  # a structlog event, which is never filtered
            return True
        message, now = (record.name, record.msg), time.monotonic()
        self._drop_until(now - self._pause_s)
        if message in self._logged:
            return False
        self._logged[message] = now
        return True

    def _drop_until(self, until: float) -> None:
        """Drop messages logged up to this time: those with values in them never repeat and would accumulate."""
        while self._logged:
            message = next(iter(self._logged))
            if self._logged[message] > until:
                return
            del self._logged[message]


def _rendering(form: str) -> list[Processor]:
    """JSON has a traceback in the event's line; text has it below the line."""
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback  # the rich traceback shows values, among them passwords
    return [drop, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
