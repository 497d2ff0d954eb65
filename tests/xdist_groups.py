"""Which tests one worker of pytest-xdist runs together: those that share a stack or an environment, else a file's."""

import re

from xdist.scheduler import LoadScopeScheduling

_ENVIRONMENT = re.compile(r"\[(3\.\d+)\]$")  # the Python by which tests/packaging repeats a test
ON_A_STACK = {
    f"tests/{folder}/test_{name}.py": f"{folder} {stack}"
    for folder, stack, names in (
        ("faults", "cut", ("crashes", "outages")),
        ("faults", "set back", ("lost_or_altered_commits", "lost_redis", "lost_reply", "older_ledger")),
        (
            "e2e",
            "usual",
            (
                "audit",
                "cli",
                "compensations",
                "cookbook",
                "fact_consumers",
                "metrics",
                "readme",
                "refused_orders",
                "reservation_lifecycle",
                "sale_apply",
                "sale_audit",
                "strategies",
            ),
        ),
        ("clients", "stack", ("bench", "go", "typescript")),
        ("e2e", "archiving", ("archive", "backpressure", "overdue", "returns_and_changes")),
    )
    for name in names
}
ON_A_STACK |= {f"tests/conformance/test_{name}.py": "e2e usual" for name in ("each_server", "histories", "tables")}


class SharedFixtureScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Sends groups of tests to workers, in the order of the command line."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the group of a test."""
        file = nodeid.partition("::")[0]
        environment = _ENVIRONMENT.search(nodeid)
        return environment[1] if environment else ON_A_STACK.get(file, file)
