"""Holdfast as `holdfast up` runs it: serve, relay, persist and compensate on Valkey, PostgreSQL and a broker."""

from collections.abc import Mapping
from pathlib import Path

from holdfast_embedded.stack import Stack

from bench.machine import ROOT
from bench.programs import ENVIRONMENT, ProgramFailed, run_to_end
from bench.strategies.catalog import HOLDFAST, POSTGRES, REDIS, SERVER, WORKER
from bench.strategies.system import NotReady, System, ids_in, redis_durability

READY_S = 120.0
PROCESS_OF = {REDIS: "valkey", POSTGRES: "postgres", SERVER: "serve", WORKER: "persist"}
PROGRAMS, STORES = ("serve", "relay", "persist", "compensate"), ("valkey", "postgres", "broker")
# A reservation on the books: its order was not refused, and nothing has given its units back.
RECORDED = """
select reservation_id from reservation
where sale_id = $1 and ledger_state = 'RECORDED' and state in ('HELD', 'CONFIRMED')"""


class HoldfastSystem(System):
    """A running stack."""

    name = HOLDFAST
    owns_stores = True

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.address = stack.addresses.listen

    def programs(self) -> Mapping[str, int]:
        return {name: self._stack.pid(name) for name in PROGRAMS}

    def stores(self) -> Mapping[str, int]:
        return {name: self._stack.pid(name) for name in STORES}

    def kill(self, part: str) -> None:
        """Its stores too, for no other strategy uses them; PostgreSQL is stopped."""
        self._stack.take_down(PROCESS_OF[part], "stop" if part == POSTGRES else "kill")

    def restore(self, part: str) -> None:
        self._stack.bring_up(PROCESS_OF[part])

    def drain(self, sale_id: str, within_s: float) -> None:
        """The audit waits for the ledger, and compares it with Redis."""
        self._stack.wait_ready(READY_S)
        self.audit(sale_id, deadline_s=within_s)

    def audit(self, *sale_ids: str, deadline_s: float) -> str:
        """Compare Redis with the ledger, all sales or one: what the audit prints; NotReady if they differ."""
        where = self._stack.addresses
        environment = {
            "HOLDFAST_SHARDS": str(self._stack.shards),
            "HOLDFAST_REDIS_URL": where.redis_url,
            "HOLDFAST_POSTGRES_DSN": where.postgres_dsn,
        }
        audit = ("inventory_service", "audit", *sale_ids, "--deadline", f"{deadline_s:g}")
        try:
            return run_to_end(ROOT, deadline_s + READY_S, *audit, **environment)
        except ProgramFailed as error:
            raise NotReady(str(error)) from None

    def recorded(self, sale_id: str) -> set[str]:
        return ids_in(self._stack.addresses.postgres_dsn, RECORDED, sale_id)

    def answer_is_on_disk(self) -> str:
        return redis_durability(self._stack.addresses.redis_url)


def holdfast_stack(folder: Path) -> Stack:
    """A stack with default settings; its processes' output goes to a file."""
    log = (folder / "holdfast.log").open("a")

    def write_line(name: str, line: str) -> None:
        print(f"{name} | {line}", file=log, flush=True)

    return Stack(folder / "holdfast", {**ENVIRONMENT, "HOLDFAST_LOG_LEVEL": "warning"}, write_line, "127.0.0.1:0")
