"""Which programs of ours make a stack, and in which order they end."""

from dataclasses import dataclass

from holdfast_embedded.program import Plan

SERVE = Plan("serve", ("-m", "inventory_service", "serve"), grace_s=20.0)  # it drains its calls
COMPENSATE = Plan("compensate", ("-m", "inventory_service", "compensate"), uses_broker=True)
RELAY = Plan("relay", ("-m", "inventory_service", "relay"), uses_broker=True)
PERSIST = Plan("persist", ("-m", "order_persister", "persist"), uses_broker=True)
MIGRATE = Plan("migrate", ("-m", "order_persister", "migrate"))
TOPICS = Plan("topics", ("-m", "inventory_service", "topics"))
INIT = Plan("init", ("-m", "inventory_service", "init"))


@dataclass(frozen=True)
class Plans:
    """All programs of a stack. Tests put others in their place."""

    migrate: Plan = MIGRATE
    topics: Plan = TOPICS
    init: Plan = INIT
    # In the order of ending: first who takes calls, then who works through what was taken.
    services: tuple[Plan, ...] = (SERVE, COMPENSATE, RELAY, PERSIST)
