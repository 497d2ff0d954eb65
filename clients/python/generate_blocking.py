"""Makes `holdfast/blocking.py` from the classes of the asyncio client, so that both clients have the same calls."""

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

Function = ast.FunctionDef | ast.AsyncFunctionDef

PACKAGE = Path(__file__).resolve().parent / "holdfast"
CALLS = ("reservations", "bulk", "watches", "lists", "sales", "audit", "tokens")
SOURCES = [PACKAGE / "client.py", *(PACKAGE / "calls" / f"{name}.py" for name in CALLS)]
TARGET = PACKAGE / "blocking.py"

HEAD = '''"""The client for callers without an event loop; made from `Client` by generate_blocking.py, not by hand."""

{imports}
from holdfast.blocking_iterators import BlockingPages, BlockingStream
from holdfast.bulk.threaded_requests import ThreadedRequests
from holdfast.client import Client
from holdfast.calls.sales import SaleSettings
from holdfast.event_loop_thread import EventLoopThread


class BlockingClient(EventLoopThread):
    """Waits for every answer; threads may share one. The methods mean what those of `Client` mean."""

    def __init__({parameters}) -> None:
        super().__init__(Client({arguments}))

    @classmethod
    def from_env(cls, **arguments: Any) -> Self:
        """A client of the server that the environment names, as `Client.from_env` says."""
        return cls(**{{**from_environment(), **arguments}})

'''

METHOD = '''    def {name}({parameters}) -> {returns}:
        """{docstring}"""
        return self.{runner}(self._client.{name}({arguments}))

'''

# What a call returns that gives one answer after the other, what `BlockingClient` returns instead, and its method that
# makes it.
ITERATORS = {"Pages": ("BlockingPages", "_pages"), "Stream": ("BlockingStream", "_stream")}
# Requests that come one after the other are taken in a thread of their own, for they may keep it waiting.
ASYNC_REQUESTS = re.compile(r"AsyncIterable\[(\w+)\] \| (Iterable\[\1\])")


def blocking_source(client_sources: Sequence[str]) -> str:
    """The text of blocking.py for these texts of the asyncio client, the first of which has its `__init__`."""
    modules = [ast.parse(source) for source in client_sources]
    classes = [node for module in modules for node in module.body if is_client(node)]
    [start] = (node for node in classes[0].body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    imports = [node for module in modules for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
    head = HEAD.format(imports="\n".join(map(ast.unparse, imports)), **call_of(start.args))
    return tidy(head + "".join(method_source(node) for part in classes for node in part.body if is_call(node)))


def is_client(node: ast.stmt) -> TypeGuard[ast.ClassDef]:
    """Whether a statement is the class of the client, or one of those that it inherits its calls from."""
    return isinstance(node, ast.ClassDef) and (node.name == "Client" or node.name.endswith("Calls"))


def is_call(node: ast.stmt) -> TypeGuard[Function]:
    """Whether a statement of a class is a public call that `BlockingClient` has too."""
    if not isinstance(node, Function) or node.name.startswith("_"):
        return False
    return isinstance(node, ast.AsyncFunctionDef) or iterator_of(node) in ITERATORS


def iterator_of(node: Function) -> str:
    """The name of the class of iterators that a function returns, if it returns one."""
    match node.returns:
        case ast.Subscript(value=ast.Name(id=name)):
            return name
    return ""


def method_source(node: Function) -> str:
    """One method that waits for the coroutine of the same name, or iterates over its answers."""
    assert node.returns is not None, f"{node.name} does not say what it returns"
    docstring = (ast.get_docstring(node) or "").replace("\n", "\n        ").replace("\n        \n", "\n\n")
    docstring += "\n        " if "\n" in docstring else ""
    returns, runner = ast.unparse(node.returns), "_wait"
    if isinstance(node, ast.FunctionDef):
        name = iterator_of(node)
        blocking, runner = ITERATORS[name]
        returns = returns.replace(name, blocking, 1)
    return METHOD.format(name=node.name, returns=returns, runner=runner, docstring=docstring, **call_of(node.args))


def call_of(parameters: ast.arguments) -> dict[str, str]:
    """The parameters as they are declared, and the arguments that pass each of them on."""
    positional = [argument_of(parameter) for parameter in parameters.args if parameter.arg != "self"]
    by_name = [f"{parameter.arg}={argument_of(parameter)}" for parameter in parameters.kwonlyargs]
    rest = [f"**{parameters.kwarg.arg}"] if parameters.kwarg else []
    declared = ASYNC_REQUESTS.sub(r"\2", ast.unparse(parameters))
    return {"parameters": declared, "arguments": ", ".join(positional + by_name + rest)}


def argument_of(parameter: ast.arg) -> str:
    """A parameter as it is passed on."""
    is_fed = parameter.annotation and ASYNC_REQUESTS.fullmatch(ast.unparse(parameter.annotation))
    return f"ThreadedRequests({parameter.arg})" if is_fed else parameter.arg


def tidy(source: str) -> str:
    """The text in the form that the linter asks for, without the imports that it does not use."""
    for command in (["check", "--select", "F401,I", "--fix", "--quiet"], ["format", "--quiet"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(TARGET), "-"]
        source = subprocess.run(ruff, input=source, capture_output=True, text=True, check=True).stdout
    return source


if __name__ == "__main__":
    TARGET.write_text(blocking_source([source.read_text() for source in SOURCES]))
