from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict with what it saw. `margin` >= 0 exactly where `passed`, in `unit`.

    `observed`, `limit` and `margin` are integers in `unit` (wei, blocks, bps, base units of a token, …).
    """

    check: str
    passed: bool
    observed: int
    limit: int
    margin: int
    unit: str
    detail: str = ""

    @classmethod
    def at_most(cls, check: str, observed: int, limit: int, unit: str, detail: str = "") -> CheckResult:
        margin = limit - observed
        return cls(check, margin >= 0, observed, limit, margin, unit, detail)

    @classmethod
    def at_least(cls, check: str, observed: int, limit: int, unit: str, detail: str = "") -> CheckResult:
        margin = observed - limit
        return cls(check, margin >= 0, observed, limit, margin, unit, detail)

    def sentence(self) -> str:
        verdict = "passed" if self.passed else "failed"
        text = (
            f"{self.check} {verdict}: {self.observed} {self.unit}, limit {self.limit}, margin {self.margin}"
        )
        return f"{text} ({self.detail})" if self.detail else text
