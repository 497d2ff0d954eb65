"""What `--help` says of each process: what it does, its options, and the settings that it heeds."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping

from inventory_service.settings import PREFIX, list_settings

WIDTH = 100
_WITH_KAFKA = ("serve", "relay", "compensate", "init", "topics", "doctor")
_WITH_STORES = ("serve", "relay", "compensate", "init", "audit", "doctor")
# Settings that some processes alone heed; all processes heed the others.
ONLY_FOR = {
    **dict.fromkeys(("redis_url", "postgres_dsn"), _WITH_STORES),
    **dict.fromkeys(("kafka_brokers", "kafka_session_timeout_s"), _WITH_KAFKA),
    **dict.fromkeys(("kafka_security", "kafka_sasl_mechanism", "kafka_username", "kafka_password"), _WITH_KAFKA),
    **dict.fromkeys(("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_prefix"), _WITH_KAFKA),
    **dict.fromkeys(("listen", "listeners", "queue_limit", "outbox_limit", "memory_share", "drain_s"), ("serve",)),
    **dict.fromkeys(("relay_window_bytes", "expiry"), ("relay",)),
    "record_retention_s": ("relay", "audit"),
    "metrics_listen": ("serve", "relay", "compensate"),
}
# What these print are facts, which a script may want to read.
PRINTS_FACTS = ("init", "topics", "audit", "doctor")
# What there is to say beyond the purpose.
MORE = {
    "doctor": (
        "Exit code 0: all are kept, 1: one is off, 2: none is off and something could not be asked, 3: a surprise."
    ),
    "audit": (
        "Exit code 0: the books agree, 1: they differ, 2 or 3: unknown. Of what Redis no longer has, "
        "HOLDFAST_RECORD_RETENTION_S, the same as the relay's, tells what it forgot from what it lost."
    ),
}


def parser(purposes: Mapping[str, str]) -> argparse.ArgumentParser:
    """One sub-command a process, each with its settings."""
    top = argparse.ArgumentParser(
        prog="python -m inventory_service",
        description="Start one process of the inventory service. PROCESS --help lists its settings.",
    )
    commands = top.add_subparsers(dest="process", required=True, metavar="PROCESS")
    parsers = {name: _add(commands, name, purpose) for name, purpose in purposes.items()}
    for name in PRINTS_FACTS:
        parsers[name].add_argument("--json", action="store_true", help="print the result as JSON, for a script")
    parsers["topics"].add_argument(
        "--replication",
        type=_count,
        metavar="N",
        help="copies of each partition when made (default: one on each broker, three at most)",
    )
    audit = parsers["audit"]
    audit.add_argument("--sale", metavar="SALE_ID", help="compare this sale alone (default: all)")
    audit.add_argument(
        "--deadline", type=float, default=60.0, metavar="SECONDS", help="to wait for the ledger (default: 60 seconds)"
    )
    return top


def settings_text(process: str) -> str:
    """The settings of a process, each with its default, its meaning and its unit."""
    return "\n".join(["settings, read from the environment at the start:", *_settings_lines(process)])


def _settings_lines(process: str) -> Iterator[str]:
    for setting in list_settings():
        name = setting.variable.removeprefix(PREFIX).lower()
        if process in ONLY_FOR.get(name, (process,)):
            yield f"  {setting.variable} (default: {setting.default or 'empty'})"
            yield textwrap.fill(setting.meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        prog=f"holdfast {name}",
        help=purpose,
        description=textwrap.fill(f"{purpose[0].upper()}{purpose[1:]}. {MORE.get(name, '')}", WIDTH),
        epilog=settings_text(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError("must be 1 to 100")
    return value
