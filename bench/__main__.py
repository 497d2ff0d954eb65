"""Lists the benchmarks: what each measures, by the first line of its docstring."""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
IS_RUN = '\nif __name__ == "__main__":\n'


def benchmarks() -> Iterator[tuple[str, str]]:
    """The module of each benchmark, and its first line; the other files are parts of them."""
    for file in sorted((*FOLDER.glob("*.py"), *FOLDER.glob("*/__main__.py"))):
        source = file.read_text()
        if IS_RUN in source and file != Path(__file__):
            name = file.stem if file.parent == FOLDER else file.parent.name
            yield f"bench.{name}", (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def main() -> int:
    """Print the list."""
    argparse.ArgumentParser(prog="python -m bench", description=__doc__).parse_args()
    for module, line in benchmarks():
        print(f"{module}\n    {line}")
    print("\n`python -m MODULE --help` tells more.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
