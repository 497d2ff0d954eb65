"""What can be switched on costs a server: CPU a reservation with tokens, limits and metrics, beside a server without.

Five servers of this checkout stand beside each other and get a second of Reserve calls in turn, the order changing from
round to round; a ratio is taken within a round:

- off: no tokens, no limits, no page of metrics. `twin` is the same, and shows how far such servers differ.
- header unchecked: each call has a token, and the server does not look at it. What that costs is gRPC's.
- token checked: the server verifies it.
- everything on: it also limits each caller's rate, and its page of metrics is read once in each second of load, which
  is more often than Prometheus would.

The token is signed by ES256, as `holdfast token` signs, and names the tenant that the other servers have, so that keys
and rows are as long. h2load sends it whole with each call, as clients in C++ and Python do; ghz, as others in Go, sends
it once a connection and refers to it then (HPACK's dynamic table). In the end the audit compares Redis with the ledger.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from holdfast_bench.load import LoadFailed
from holdfast_embedded.ports import LOOPBACK, free_port
from jwt.algorithms import ECAlgorithm

from bench.arguments import add_audit, add_rounds, parser_of
from bench.builds import Build, serving
from bench.failures import exit_code_of
from bench.loads import CLIENTS, Measured, ReserveCalls, server_table, undisturbed
from bench.machine import ROOT, machine_and_commit
from bench.result_files import command_line, provenance, write_result
from bench.rounds import ratios, rotated, spread_of, take_after_warm_up

OFF, TWIN, UNCHECKED, CHECKED, EVERYTHING = "off", "twin", "header unchecked", "token checked", "everything on"
PAIRS = ((TWIN, OFF), (UNCHECKED, OFF), (CHECKED, OFF), (CHECKED, UNCHECKED), (EVERYTHING, OFF), (EVERYTHING, CHECKED))
LIFETIME_S = 86_400
KID = "2026-11"
RATE_PER_S = 1_000_000  # of each caller: the limit is kept, and no call passes it
READING_S = 5.0


class Measuring:
    """Puts load on the servers."""

    def __init__(self, builds: Mapping[str, Build], arguments: argparse.Namespace) -> None:
        self._builds = builds
        self._arguments = arguments
        self.calls = {name: ReserveCalls(each.address, token=each.token) for name, each in builds.items()}

    def round(self, number: int) -> Mapping[str, Measured]:
        """Every server once."""
        measured = {name: self._measure(name) for name in rotated(tuple(self._builds), number)}
        figures = ", ".join(f"{name} {measured[name].server_us:.1f} us" for name in self._builds)
        print(f"round {number}: {figures}", file=sys.stderr, flush=True)
        return {name: measured[name] for name in self._builds}

    def _measure(self, name: str) -> Measured:
        build, arguments = self._builds[name], self._arguments
        metrics = build.environment["HOLDFAST_METRICS_LISTEN"]
        with (
            undisturbed(name, build.processes, arguments.most_foreign) as taken,
            read_meanwhile(f"http://{metrics}/metrics", arguments.seconds / 2) if metrics else nullcontext(),
        ):
            report = self.calls[name].send(arguments.seconds, arguments.client)
        return taken.measured(report)


@contextmanager
def read_meanwhile(url: str, after_s: float) -> Iterator[None]:
    """Read a page once inside the block, so many seconds after its beginning; LoadFailed if it could not be read."""
    sizes: list[int] = []

    def read() -> None:
        with urllib.request.urlopen(url, timeout=READING_S) as page:
            sizes.append(len(page.read()))

    reading = threading.Timer(after_s, read)
    reading.start()
    try:
        yield
    finally:
        reading.join()
    if not sizes:
        raise LoadFailed(f"{url} could not be read")


def main() -> int:
    """The exit code: 0 if every round could be taken and every audit holds."""
    arguments = parsed()
    return exit_code_of(lambda: measure(arguments))


def parsed() -> argparse.Namespace:
    parser = parser_of(__doc__)
    add_rounds(parser, rounds=24, seconds=1.0, most_foreign=0.3)
    add_audit(parser)
    parser.add_argument("--client", choices=CLIENTS, default="h2load", help="the load generator (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go as JSON, besides")
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> int:
    """Take the rounds and print what they came to."""
    if why := CLIENTS[arguments.client].missing():
        raise LoadFailed(why)
    with tempfile.TemporaryDirectory(prefix="holdfast-options-") as folder, ExitStack() as held:
        builds = {name: held.enter_context(each) for name, each in servers(Path(folder)).items()}
        measuring = Measuring(builds, arguments)
        rounds, disturbed = take_after_warm_up(arguments.rounds, arguments.rounds, measuring.round)
        for name, build in builds.items():
            build.check_units(measuring.calls[name].answered)
            print(f"audit of {name}: {build.audit(arguments.deadline)}", file=sys.stderr, flush=True)
    if arguments.json:
        head = provenance(command_line("bench.option_cost"))
        write_result(arguments.json, {**head, "rounds": len(rounds), "disturbed": disturbed, **figures(rounds)})
    took = f"{len(rounds)} rounds of {arguments.seconds:g} s each; {disturbed} disturbed ones were repeated"
    print(f"{machine_and_commit()}\n{arguments.client}; {took}\n")
    print("\n".join(server_table(rounds, list(builds), PAIRS)))
    return 0


def servers(folder: Path) -> Mapping[str, Any]:
    """The five servers, each to be started."""
    key, jwks = ec.generate_private_key(ec.SECP256R1()), folder / "jwks.json"
    public = {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": KID}
    jwks.write_text(json.dumps({"keys": [public]}))
    asking = {"HOLDFAST_AUTH_JWKS_FILE": str(jwks), "HOLDFAST_AUTH_ALLOW_DEFAULT_TENANT": "true"}
    limiting = {"HOLDFAST_RATE_PER_S": str(RATE_PER_S)}
    without, read = ({"HOLDFAST_METRICS_LISTEN": address} for address in ("", f"{LOOPBACK}:{free_port()}"))
    sent = token(key)
    return {
        OFF: serving(ROOT, folder / "off", **without),
        TWIN: serving(ROOT, folder / "twin", **without),
        UNCHECKED: serving(ROOT, folder / "unchecked", sent, **without),
        CHECKED: serving(ROOT, folder / "checked", sent, **without, **asking),
        EVERYTHING: serving(ROOT, folder / "everything", sent, **read, **asking, **limiting),
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


def figures(rounds: Sequence[Mapping[str, Measured]]) -> dict[str, Any]:
    """Of each server, and of each pair the CPU of one in proportion to the other's."""
    servers = {
        name: {
            "calls_per_s": spread_of([each[name].calls_per_s for each in rounds], 1),
            "server_cpu_us": spread_of([each[name].server_us for each in rounds], 1),
        }
        for name in rounds[0]
    }
    pairs = [
        {"of": name, "to": other, "server_cpu": spread_of(ratios(rounds, name, other, _server_us), 3)}
        for name, other in PAIRS
    ]
    return {"servers": servers, "pairs": pairs}


def _server_us(measured: Measured) -> float:
    return measured.server_us


if __name__ == "__main__":
    sys.exit(main())
