"""OpportunityValidator: all checks on a candidate; a "no" is a value that says by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from arbtui.domain import CheckResult
from arbtui.validation.checks import (
    Candidate,
    check_freshness,
    check_gas_cost,
    check_liquidity,
    check_loan,
    check_path,
    check_price_impact,
    check_simulation,
)
from arbtui.validation.policy import ValidationPolicy

Check = Callable[[Candidate, ValidationPolicy], CheckResult]

#: Before the simulation; what needs no node comes first.
SCREENING: tuple[Check, ...] = (
    check_path,
    check_liquidity,
    check_price_impact,
    check_freshness,
    check_loan,
    check_gas_cost,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every check that was run. Unpacks as the plan has it: ``valid, reason = verdict``."""

    checks: tuple[CheckResult, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> CheckResult | None:
        """The first check that failed."""
        return next((check for check in self.checks if not check.passed), None)

    @property
    def reason(self) -> str:
        return self.failed.sentence() if self.failed else "Valid opportunity"

    def __iter__(self) -> Iterator[bool | str]:
        yield self.passed
        yield self.reason


class OpportunityValidator:
    """Runs the checks under one policy. `screening` are those that need no simulation, in order."""

    def __init__(self, policy: ValidationPolicy, screening: Sequence[Check] = SCREENING) -> None:
        self.policy = policy
        self._screening = tuple(screening)

    def screen(self, candidate: Candidate) -> Verdict:
        """The checks that need no simulation, all of them, so that a "no" carries every margin."""
        return Verdict(tuple(check(candidate, self.policy) for check in self._screening))

    async def validate_opportunity(self, candidate: Candidate) -> Verdict:
        """All checks, the simulation's last."""
        checks = (*self._screening, check_simulation)
        return Verdict(tuple(check(candidate, self.policy) for check in checks))
