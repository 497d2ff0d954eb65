"""Runs processes of both services one after the other: `python -m tests.run_processes`, with a list of them as JSON.

Prints for each its exit code and its output.
"""

import json
import os
import sys
import tempfile

from inventory_service.__main__ import main as inventory_main
from order_persister.__main__ import main as persister_main

PERSISTER = ("persist", "migrate")


def run(words: list[str], settings: dict[str, str]) -> tuple[int, str]:
    """One process: its exit code, and all that it has written to its outputs."""
    main = persister_main if words[0] in PERSISTER else inventory_main
    with tempfile.TemporaryFile() as output:
        kept = [os.dup(number) for number in (1, 2)]
        for number in (1, 2):
            os.dup2(output.fileno(), number)
        os.environ |= settings
        try:
            code = main(words)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number in (1, 2):
                os.dup2(kept[number - 1], number)
            for name in settings:
                del os.environ[name]
        output.seek(0)
        return code, output.read().decode(errors="replace")


if __name__ == "__main__":
    print(json.dumps([run(*case) for case in json.load(sys.stdin)]))
