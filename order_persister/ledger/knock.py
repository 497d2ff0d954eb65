"""Ask PostgreSQL once, at the start, whether it lets us in."""

import asyncpg

from order_persister.patience import Passing
from order_persister.turned_away import Part, TurnedAway, find_fault

CONNECT_S = 5.0
CLOSE_S = 1.0
# The user, the password, the rights to connect, and a database that is not there. All else may pass.
_FOR_GOOD = ("28", "3D000", "42501")
_NO_TLS = "rejected SSL upgrade"  # asyncpg has no other word for a server without TLS where the DSN asks for it


async def knock_at_postgres(dsn: str) -> None:
    """Return if it answers, be it that it is still starting up; `TurnedAway` or `Passing` if not."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, statement_cache_size=0)
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "").startswith(_FOR_GOOD):
            raise TurnedAway(Part.USER, str(error)) from error
        return  # whatever it says, it is there
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        if _NO_TLS in str(error):
            raise TurnedAway(Part.TRUST, "it speaks no TLS, which the DSN asks for") from error
        raise find_fault(error) or Passing(str(error) or "no answer in time") from error
    await connection.close(timeout=CLOSE_S)
