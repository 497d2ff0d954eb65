"""Claims an address before servers that share it listen there, and tells which process has it already."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

PROC = Path("/proc")
LISTENING = "0A"  # the state's number in /proc/net/tcp
SHOWN_WORDS = 4  # of a command line: enough for `python -m inventory_service serve`


@contextmanager
def exclusive(host: str, port: int) -> Iterator[None]:
    """Have the address alone until the block has bound it with SO_REUSEPORT; `OSError` if another process listens.

    Of several processes that start at once at most one gets in. A connection that is made before the block ends is
    closed, as it was refused before.
    """
    with ExitStack() as claims:
        for family, address in _addresses(host, port):
            claim = claims.enter_context(socket.socket(family))
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else connections that ended would count
            claim.bind(address)
            claim.listen()
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # only now: who binds without it is refused
        yield


@contextmanager
def reserved(host: str, port: int, *, shared: bool = False) -> Iterator[int]:
    """Keep the address until the block ends for listeners with SO_REUSEPORT, and yield its port, also if that was 0.

    It gets no connection itself, and keeps the address while no process listens there. `OSError` if another process
    listens; with `shared` that may have SO_REUSEPORT too.
    """
    with ExitStack() as kept:
        with nullcontext() if shared or not port else exclusive(host, port):
            for family, (name, _, *rest) in _addresses(host, port):
                holder = kept.enter_context(socket.socket(family))
                for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
                    holder.setsockopt(socket.SOL_SOCKET, option, 1)
                holder.bind((name, port, *rest))
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # else `exclusive` could have it too
                port = holder.getsockname()[1]
        yield port


def _addresses(host: str, port: int) -> set[tuple[socket.AddressFamily, tuple[Any, ...]]]:
    return {(family, address) for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}


def who_listens(port: int) -> str:
    """The processes that listen on a TCP port of any address, as far as this system and its rights tell; '' if not."""
    sockets = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening_inodes(table, port)}
    if not sockets:
        return ""
    found = (_command(process) for process in PROC.glob("[0-9]*") if sockets & _open_files(process))
    return ", ".join(sorted(found))


def _listening_inodes(table: str, port: int) -> Iterator[str]:
    with suppress(OSError):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(process: Path) -> set[str]:
    """What a process has open; nothing where this user may not know it, or once the process has ended."""
    found: set[str] = set()
    with suppress(OSError):
        for file in (process / "fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(file))
    return found


def _command(process: Path) -> str:
    words: list[str] = []
    with suppress(OSError):
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:SHOWN_WORDS]
    return f"process {process.name} ({' '.join(words).strip()})"
