"""Ask PostgreSQL once, at the start, whether it lets us in."""

import asyncpg

from order_persister.patience import TransientError
from order_persister.turned_away import KNOCK_S, Part, TurnedAway, find_fault, why_no_answer

CLOSE_S = 1.0
# User and password, a database that is not there, rights, and options that it does not know. All else may pass.
_FOR_GOOD = ("28", "3D000", "22", "42")
_NO_TLS = "rejected SSL upgrade"  # asyncpg has no other word for a server without TLS where the DSN asks for it


async def knock_at_postgres(dsn: str) -> None:
    """Return if it answers, be it that it is still starting up; `TurnedAway` or `TransientError` if not."""
    try:
        connection = await asyncpg.connect(dsn, timeout=KNOCK_S, statement_cache_size=0)
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_FOR_GOOD):
            raise TurnedAway(Part.USER, str(error)) from error
        if isinstance(error, asyncpg.PostgresConnectionError):  # asyncpg's own word for one that hangs up
            raise _fault(error) from error
        return  # whatever it says, it is there
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        if _NO_TLS in str(error):
            raise TurnedAway(Part.TRUST, "it speaks no TLS, which the DSN asks for") from error
        raise _fault(error) from error
    await connection.close(timeout=CLOSE_S)


def _fault(error: Exception) -> Exception:
    return find_fault(error) or TransientError(why_no_answer(error, "is it PostgreSQL?"))
