"""Ask Kafka once, at the start, whether it lets us in."""

import asyncio

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from aiokafka.protocol.metadata import MetadataRequest

from order_persister.adapters.kafka.access import KafkaAccess
from order_persister.patience import TransientError
from order_persister.turned_away import KNOCK_S, Part, TurnedAway, find_fault, why_no_answer

_QUESTION = "is HOLDFAST_KAFKA_SECURITY what it wants?"
_NO_TOPICS: list[str] = []


async def knock_at_kafka(access: KafkaAccess) -> None:
    """Return if one of the brokers answers; `TurnedAway` or `TransientError` if none does.

    aiokafka's own clients would only say that none let them in, so each broker is asked by a bare connection.
    """
    asking = [asyncio.ensure_future(_ask(host, port, access)) for host, port, _ in collect_hosts(access.brokers)]
    problems = []
    try:
        for answer in asyncio.as_completed(asking):
            try:
                return await answer
            except (TurnedAway, TransientError) as problem:
                problems.append(problem)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    raise next((problem for problem in problems if isinstance(problem, TurnedAway)), problems[0])


async def _ask(host: str, port: int, access: KafkaAccess) -> None:
    """A question after the greeting, for brokers that want a password greet everybody."""
    connection: AIOKafkaConnection | None = None
    try:
        connection = await create_conn(host, port, request_timeout_ms=int(1000 * KNOCK_S), **access.credentials())
        await connection.send(MetadataRequest(_NO_TOPICS))
    except SaslAuthenticationFailed as error:
        raise TurnedAway(Part.USER, str(error.args[0]) if error.args else str(error)) from error
    except UnsupportedSaslMechanismError as error:
        raise TurnedAway(Part.MECHANISM, f"it does not take {access.mechanism}") from error
    except (KafkaError, OSError, TimeoutError) as error:
        raise find_fault(error) or TransientError(why_no_answer(error, _QUESTION)) from error
    finally:
        if connection is not None:
            connection.close()
