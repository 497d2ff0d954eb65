"""Random histories of calls are answered alike by the server for tests and by a real one.

They follow from a seed, which is printed; HOLDFAST_TEST_SEED sets another one.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime

from tests.conformance.both import Both
from tests.conformance.histories import Claim, History
from tests.conformance.sale_steps import Step
from tests.conformance.servers import Double, Processes
from tests.methods import METHODS

SEED = int(os.environ.get("HOLDFAST_TEST_SEED", "1"))
ROUNDS = 2
CHANGES = 90  # a round


async def test_a_history_is_answered_alike(double: Double, processes: Processes) -> None:
    """Code, sentence, details and every field: what differs is a fault of the one or of the other."""
    print(f"HOLDFAST_TEST_SEED={SEED}")
    prefix = f"h{os.getpid()}-"
    both, history = Both(double, processes, prefix), History(SEED, prefix, datetime.now(UTC))
    for server in (double, processes):
        await server.refuse_buyer(history.refused_buyer)

    await ask_all(both, history.beginning())
    waiting: list[Claim] = []
    for _ in range(ROUNDS):
        await ask_all(both, history.changes(CHANGES))
        waiting += await ask_refusable(both, history.refusals())
        await both.recorded([(claim.sale_id, claim.reservation_id) for claim in waiting])
        await ask_all(both, history.reads())
        waiting = await ask_refusable(both, history.replays())
        await ask_all(both, history.between())
    await ask_all(both, history.end())

    assert {outcome.partition(" ")[0] for outcome in both.outcomes} == METHODS.keys()


async def ask_all(both: Both, steps: Iterable[Step]) -> None:
    """Ask both servers, call by call."""
    for step in steps:
        await both.ask(step.method, step.build)


async def ask_refusable(both: Both, steps: Iterable[tuple[Claim, Step]]) -> list[Claim]:
    """The same; the reservations that the ledger may refuse now."""
    claims = []
    for claim, step in steps:
        await both.ask(step.method, step.build)
        claims.append(claim)
    return claims
