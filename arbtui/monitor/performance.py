"""How executions went: a pure fold over facts, and the monitor that gathers facts by hand."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from arbtui.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """One execution, as the store or the caller of `record_execution` knows it.

    `delivered`: a node had at least one of its transactions. `success`: mined with status 1. `seconds`: decision
    to receipt, None without a receipt. `net` and `gas_cost` in wei of the native coin (`net` a Fraction only
    where a caller of `record_execution` gave one that is not whole), None until settled.
    """

    delivered: bool
    success: bool
    seconds: float | None = None
    net: int | Fraction | None = None
    gas_used: int | None = None
    gas_cost: int | None = None
    error_class: str = ""


@dataclass(frozen=True, slots=True)
class Performance:
    """The fold's result; a mean over nothing is None.

    `success_rate` = successes ÷ delivered. `avg_profit` (wei) and `gas_efficiency` (gas) are means over successes;
    `net_profit` and `gas_spent` are exact sums over all that settled, failures' gas included; `gas_share` = gas
    cost ÷ gross, gross being net plus gas cost, None where nothing was grossed.
    """

    executions: int
    delivered: int
    successes: int
    success_rate: float | None
    avg_seconds: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    avg_profit: Fraction | None
    net_profit: int | Fraction
    gas_spent: int
    gas_efficiency: float | None
    gas_share: float | None
    error_counts: Mapping[str, int]


def fold(executions: Iterable[ExecutionFacts]) -> Performance:
    """Sum up; the order does not matter."""
    facts = list(executions)
    delivered = [fact for fact in facts if fact.delivered]
    successes = [fact for fact in delivered if fact.success]
    seconds = sorted(fact.seconds for fact in facts if fact.seconds is not None)
    profits = [Fraction(fact.net) for fact in successes if fact.net is not None]
    gas_used = [fact.gas_used for fact in successes if fact.gas_used is not None]
    net = sum((fact.net for fact in facts if fact.net is not None), 0)
    gas_spent = sum(fact.gas_cost for fact in facts if fact.gas_cost is not None)
    gross = net + gas_spent
    errors: dict[str, int] = {}
    for fact in facts:
        if fact.error_class:
            errors[fact.error_class] = errors.get(fact.error_class, 0) + 1
    return Performance(
        executions=len(facts),
        delivered=len(delivered),
        successes=len(successes),
        success_rate=len(successes) / len(delivered) if delivered else None,
        avg_seconds=math.fsum(seconds) / len(seconds) if seconds else None,
        p50_seconds=quantile(seconds, 0.50),
        p95_seconds=quantile(seconds, 0.95),
        avg_profit=sum(profits, Fraction(0)) / len(profits) if profits else None,
        net_profit=net,
        gas_spent=gas_spent,
        gas_efficiency=sum(gas_used) / len(gas_used) if gas_used else None,
        gas_share=float(Fraction(gas_spent) / Fraction(gross)) if gross > 0 else None,
        error_counts=dict(sorted(errors.items())),
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Linear between the two nearest of `ordered` values, None of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


class PerformanceMonitor:
    """Gathers executions by hand and reports on them, by the same fold as `arbtui report`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._facts: list[ExecutionFacts] = []

    @property
    def facts(self) -> tuple[ExecutionFacts, ...]:
        """What has been recorded, in order."""
        return tuple(self._facts)

    async def record_execution(self, start_time: float, result: Mapping[str, Any]) -> None:
        """Record an execution that began at `start_time` (seconds, as `time.time()` gives) and has just ended.

        `result`: `success` (bool); `profit` (wei, net of gas) and `gas_used` where it succeeded; optional
        `gas_cost` (wei), `delivered` (default True: a failure counts against the success rate) and `error` (its
        class). Raises UsageError for a result that cannot be counted.
        """
        success = result.get("success")
        if not isinstance(success, bool):
            raise UsageError("record_execution: result['success'] must be True or False")
        error = result.get("error") or ""
        self._facts.append(
            ExecutionFacts(
                delivered=success or bool(result.get("delivered", True)),
                success=success,
                # The wall clock may have been set back meanwhile.
                seconds=max(0.0, self._clock() - start_time),
                net=_number(result, "profit", required=success),
                gas_used=_integer(result, "gas_used", required=success),
                gas_cost=_integer(result, "gas_cost", required=False),
                error_class=str(error) or ("" if success else "unknown"),
            )
        )

    async def get_performance_report(self) -> dict[str, Any]:
        """The figures so far. Times in seconds, profits in wei, gas in gas; a mean over nothing is None."""
        result = fold(self._facts)
        return {
            "avg_execution_time": result.avg_seconds,
            "success_rate": result.success_rate,
            "avg_profit": _plain(result.avg_profit),
            "gas_efficiency": result.gas_efficiency,
            "executions": result.executions,
            "successes": result.successes,
            "p50_execution_time": result.p50_seconds,
            "p95_execution_time": result.p95_seconds,
            "net_profit": _plain(result.net_profit),
            "gas_spent_wei": result.gas_spent,
            "gas_share": result.gas_share,
            "error_counts": dict(result.error_counts),
        }


def _number(result: Mapping[str, Any], name: str, *, required: bool) -> int | Fraction | None:
    value = result.get(name)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)) or not math.isfinite(value):
        raise UsageError(f"record_execution: result[{name!r}] must be a number, not {value!r}")
    return value if isinstance(value, int) else Fraction(value)


def _integer(result: Mapping[str, Any], name: str, *, required: bool) -> int | None:
    value = result.get(name)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"record_execution: result[{name!r}] must be a whole number, not {value!r}")
    return value


def _plain(value: int | Fraction | None) -> int | float | None:
    if value is None or isinstance(value, int):
        return value
    return value.numerator if value.denominator == 1 else float(value)
