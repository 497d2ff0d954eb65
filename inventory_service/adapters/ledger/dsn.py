"""Read the ledger's address as asyncpg would, before anything depends on it."""

from inspect import signature

import asyncpg
from asyncpg import connect_utils


def check_dsn(dsn: str) -> None:
    """ValueError, in one sentence that names no password, if asyncpg cannot read it; by itself it says so too late."""
    parse = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]  # there is no public way to ask
    try:
        addresses, _ = parse(**{**dict.fromkeys(signature(parse).parameters), "dsn": dsn})
    except asyncpg.InterfaceError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    except OSError as error:
        problem = getattr(error, "reason", "") or error.strerror or error
        raise ValueError(f"names a certificate or key that cannot be used: {problem}") from None
    except ValueError:
        raise ValueError("must be postgresql://user:password@host:port/database, with a number for a port") from None
    if not all(1 <= address[1] <= 65535 for address in addresses if isinstance(address, tuple)):
        raise ValueError("must have a port from 1 to 65535")
