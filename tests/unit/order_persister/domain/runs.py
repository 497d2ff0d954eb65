"""What a fake shard has committed, as the persister takes it from Kafka and from the journal."""

from holdfast.inventory.v1.commit_pb2 import CommitBody

from bench.commits import FakeShard, MadeCommit
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.changes import Created
from order_persister.domain.events import known_events
from order_persister.domain.fold import Order, Refusal, orders_from

CREATED = Created(1, 1, 0)  # of the order that a shard's first commit makes


def accepted(commits: list[MadeCommit]) -> list[AcceptedCommit]:
    """The commits as a run."""
    run = []
    for made in commits:
        events = known_events(CommitBody.FromString(made.payload))
        assert events is not None
        run.append(AcceptedCommit(made.epoch, made.seq, made.payload, made.hash, events))
    return run


def journal(shard: FakeShard) -> list[AcceptedCommit]:
    """The commits as the journal has them."""
    return accepted(shard.commits)


def orders_of(shard: FakeShard, first: int = 0) -> list[Order]:
    """The orders of the commits from one on, folded at once."""
    return list(orders_from(accepted(shard.commits[first:])).values())


def all_refused(orders: list[Order], refusal: Refusal | None) -> dict[Created, Refusal]:
    """Every order with the same refusal; none without one."""
    return {order.created: refusal for order in orders} if refusal else {}
