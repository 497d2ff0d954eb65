"""Picks results for tests of checks."""

from inventory_service.server_checks.results import CheckResult


def one(results: list[CheckResult], setting: str) -> CheckResult:
    """The result of a setting."""
    (found,) = [result for result in results if result.setting == setting]
    return found
