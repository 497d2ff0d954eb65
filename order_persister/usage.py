"""What `--help` says of each command: what it does, its options, and the settings that it heeds."""

import argparse
import textwrap
from collections.abc import Iterator, Mapping

from order_persister.settings import PREFIX, list_settings

WIDTH = 100
# Settings that some commands alone heed; all commands heed the others. The other service says its own in the same form.
ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("shards", "metrics_listen", "kafka_brokers", "kafka_session_timeout_s"), ("persist",)),
    **dict.fromkeys(("kafka_security", "kafka_sasl_mechanism", "kafka_username", "kafka_password"), ("persist",)),
    **dict.fromkeys(("kafka_ca_file", "kafka_cert_file", "kafka_key_file", "kafka_prefix"), ("persist",)),
}
PURPOSES = {
    "persist": "write every commit to the ledger once and tell what came of it, until SIGTERM or SIGINT",
    "migrate": "bring the ledger's tables up to date; safe to run again, and from many processes at once",
}


def parser() -> argparse.ArgumentParser:
    """One sub-command each, with its settings."""
    top = argparse.ArgumentParser(
        prog="python -m order_persister",
        description="Start one process of the order persister. COMMAND --help lists its settings.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers = {name: _add(commands, name, purpose) for name, purpose in PURPOSES.items()}
    parsers["migrate"].add_argument("--json", action="store_true", help="print the result as JSON, for a script")
    return top


def settings_text(command: str) -> str:
    """The settings of a command, each with its default, its meaning and its unit."""
    return "\n".join(["settings, read from the environment at the start:", *_settings_lines(command)])


def _settings_lines(command: str) -> Iterator[str]:
    for setting in list_settings():
        name = setting.variable.removeprefix(PREFIX).lower()
        if command in ONLY_FOR.get(name, (command,)):
            yield f"  {setting.variable} (default: {setting.default or 'empty'})"
            yield textwrap.fill(setting.meaning, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, purpose: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        prog=f"holdfast {name}",
        help=purpose,
        description=textwrap.fill(f"{purpose[0].upper()}{purpose[1:]}.", WIDTH),
        epilog=settings_text(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
