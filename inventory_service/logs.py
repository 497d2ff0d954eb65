"""Say what happens, one event a line, for a person or for a machine."""

import logging
import sys

import structlog
from structlog.typing import Processor

# They log every attempt to reach a server that is away; our own events say once that it is, and once that it is back.
TALKATIVE = ("aiokafka",)


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
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for library in TALKATIVE:
        logging.getLogger(library).setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    structlog.contextvars.bind_contextvars(process=process)


def _rendering(form: str) -> list[Processor]:
    """A trace is part of its event's one line in JSON; a person gets it below the line."""
    drop = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        return [drop, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback  # the richer one shows values, the ledger's password among them
    return [drop, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
