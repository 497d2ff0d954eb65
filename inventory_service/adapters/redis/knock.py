"""Ask Redis once, at the start, whether it lets us in."""

from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from inventory_service.adapters.redis.connections import connect
from inventory_service.adapters.turned_away import Part, TurnedAway, find_fault, why_no_answer
from inventory_service.domain.shards import RedisUnavailable


async def knock_at_redis(url: str) -> None:
    """Return if it answers, be it that it is still loading; TurnedAway or RedisUnavailable if not."""
    try:
        connection = await connect(url)
    except RedisUnavailable as error:
        if isinstance(error.__cause__, BusyLoadingError):
            return
        raise _meaning(error, url) from error
    await connection.close()


def _meaning(error: RedisUnavailable, url: str) -> Exception:
    """A reply that is an error is about the user, the password or the database: nothing else was asked of it."""
    cause = error.__cause__
    if isinstance(cause, AuthenticationError | ResponseError):
        return TurnedAway(Part.USER, str(cause))
    if type(cause) is RedisConnectionError and str(cause) == "Invalid Database":
        return TurnedAway(Part.ADDRESS, "it has no database of that number")
    how = "with TLS, as rediss:// says" if url.startswith("rediss:") else "without TLS, as redis:// says"
    return find_fault(error) or RedisUnavailable(why_no_answer(error, f"is it a Redis, {how}?"))
