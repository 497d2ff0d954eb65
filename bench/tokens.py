"""What tokens cost a server: CPU a reservation where each call has one, in proportion to a server that asks for none.

Four servers of this checkout stand beside each other and get a second of Reserve calls in turn, the order changing from
round to round; a ratio is taken within a round. One verifies tokens. One gets the same tokens and does not look at
them: what it costs more than the two that get none is gRPC's, for the header. Of these, `twin` shows how far servers
differ that are the same. The token is signed by ES256, as `holdfast token` signs, and names the
tenant that the other servers have, so that keys and rows are as long. h2load sends it whole with each call, as clients
in C++ and Python do; ghz, as others in Go, sends it once a connection and refers to it then (HPACK's dynamic table). In
the end the audit compares Redis with the ledger.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from holdfast_bench import ghz
from holdfast_bench.load import Load, LoadFailed, Report
from jwt.algorithms import ECAlgorithm

from bench import h2load
from bench.builds import ACCEPTED, Build, serving, smallest_answer
from bench.cpu import CpuWatch
from bench.machine import ROOT, machine_and_commit
from bench.programs import ProgramFailed
from bench.rounds import RoundDisturbed, TooManyDisturbed, ratios, rotated, spread, take_rounds

CLIENTS = {"h2load": h2load, "ghz": ghz}
TOKENS, UNCHECKED, PLAIN, TWIN = "tokens", "unchecked tokens", "no tokens", "twin"
LIFETIME_S = 86_400
KID = "2026-11"


@dataclass(frozen=True)
class Measured:
    """The second of one server."""

    report: Report
    cpu_us: float  # a call


class Measuring:
    """Puts load on the servers, and sums up what was answered."""

    def __init__(self, builds: Mapping[str, Build], arguments: argparse.Namespace) -> None:
        self._builds = builds
        self._arguments = arguments
        self._series = itertools.count(1)
        self._smallest = {name: smallest_answer(each.address, ACCEPTED, each.token) for name, each in builds.items()}
        self.answered = dict.fromkeys(builds, 0)

    def round(self, number: int) -> Mapping[str, Measured]:
        """Every server once."""
        measured = {name: self._measure(name) for name in rotated(tuple(self._builds), number)}
        figures = ", ".join(f"{name} {measured[name].cpu_us:.1f} us" for name in self._builds)
        print(f"round {number}: {figures}", file=sys.stderr, flush=True)
        return measured

    def _measure(self, name: str) -> Measured:
        build, seconds = self._builds[name], self._arguments.seconds
        load = Load(
            *(build.address, ACCEPTED, next(self._series), seconds),
            smallest_answer=self._smallest[name],
            token=build.token,
        )
        watch, began = CpuWatch([build.server_pid, build.redis_pid]), time.monotonic()
        try:
            report = CLIENTS[self._arguments.client].run(load)
        except LoadFailed as error:
            raise RoundDisturbed(f"{name}: {error}") from None
        spent, lasted = watch.spent(), time.monotonic() - began
        self.answered[name] += report.calls
        if (foreign := (spent.others + spent.stolen) / lasted) > self._arguments.most_foreign:
            raise RoundDisturbed(f"{name}: other work and the host took {foreign:.2f} of a CPU")
        return Measured(report, spent.by_process[0] / report.calls * 1e6)


def main() -> int:
    """The exit code: 0 if every round could be taken and every audit holds."""
    arguments = parsed()
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-tokens-") as folder, ExitStack() as held:
            builds = started(Path(folder), held)
            measuring = Measuring(builds, arguments)
            take_rounds(1, arguments.rounds, lambda _: measuring.round(0))
            rounds, disturbed = take_rounds(arguments.rounds, arguments.rounds, measuring.round)
            for name, build in builds.items():
                audited(name, build, measuring.answered[name], arguments.deadline)
    except (LoadFailed, ProgramFailed, TooManyDisturbed) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(machine_and_commit())
    took = f"{len(rounds)} rounds of {arguments.seconds:g} s each; {disturbed} disturbed ones were repeated"
    print(f"{arguments.client}; {took}\n")
    print("\n".join(figures(rounds)))
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--client", choices=CLIENTS, default="h2load", help="the load generator (%(default)s)")
    add("--rounds", type=int, default=24, help="after one that is not counted (%(default)s)")
    add("--seconds", type=float, default=1.0, help="of load for each server in a round (%(default)s)")
    add("--most-foreign", type=float, default=0.3, metavar="CPUS", help="that other work may take (%(default)s)")
    add("--deadline", type=float, default=900.0, metavar="SECONDS", help="for each audit (%(default)s)")
    return parser.parse_args()


def started(folder: Path, held: ExitStack) -> Mapping[str, Build]:
    """The four servers."""
    key, jwks = ec.generate_private_key(ec.SECP256R1()), folder / "jwks.json"
    public = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": KID}
    jwks.write_text(json.dumps({"keys": [public]}))
    asking = {"HOLDFAST_AUTH_JWKS_FILE": str(jwks), "HOLDFAST_AUTH_ALLOW_DEFAULT_TENANT": "true"}
    sent = token(key)
    return {
        TOKENS: held.enter_context(serving(ROOT, folder / "tokens", sent, **asking)),
        UNCHECKED: held.enter_context(serving(ROOT, folder / "unchecked", sent)),
        PLAIN: held.enter_context(serving(ROOT, folder / "plain")),
        TWIN: held.enter_context(serving(ROOT, folder / "twin")),
    }


def token(key: ec.EllipticCurvePrivateKey) -> str:
    """A token that may do everything that is needed here."""
    issued_s = int(time.time())
    claims = {
        "sub": "checkout@shop.example",
        "tenant": "default",
        "scope": "inventory.reserve inventory.read inventory.admin",
        "iss": "https://login.shop.example",
        "aud": "holdfast",
        "iat": issued_s,
        "exp": issued_s + LIFETIME_S,
        "jti": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    }
    return jwt.encode(claims, key, "ES256", headers={"kid": KID})


def audited(name: str, build: Build, answered: int, deadline_s: float) -> None:
    """Every call that was answered must have got its unit, and Redis and the ledger must agree."""
    if (units := build.units_held(ACCEPTED)) < answered:
        raise ProgramFailed(f"{name}: {answered} calls were answered by a hold, and {units} units are held")
    print(f"audit of {name}: {build.audit(deadline_s)}", file=sys.stderr, flush=True)


def figures(rounds: Sequence[Mapping[str, Measured]]) -> Iterator[str]:
    """Each server, and pairs of them in proportion."""
    values: Sequence[Callable[[Measured], float]] = (lambda each: each.report.calls_per_s, lambda each: each.cpu_us)
    yield "| | calls/s | server CPU us/call |"
    yield "|---|---|---|"
    for name in (TOKENS, UNCHECKED, PLAIN, TWIN):
        yield f"| {name} | {' | '.join(spread([value(each[name]) for each in rounds], 0) for value in values)} |"
    for name, other in ((TOKENS, UNCHECKED), (TOKENS, PLAIN), (UNCHECKED, PLAIN), (TWIN, PLAIN)):
        proportions = [spread(ratios(rounds, name, other, value), 3) for value in values]
        yield f"| {name} in proportion to {other} | {' | '.join(proportions)} |"


if __name__ == "__main__":
    sys.exit(main())
