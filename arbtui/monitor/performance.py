"""How executions went: a pure fold over facts, and the monitor that gathers facts by hand.

Report, notebooks and metrics show what this fold says and compute nothing of it anew. The desk, which stands below,
sums the day's receipts itself; tests hold it to the fold.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from arbtui.errors import UsageError

Amount = int | Fraction
"""Wei; a Fraction only where a caller of `record_execution` gave a profit that is not whole."""

#: The steps of an execution in order; the last spans decision to receipt.
STAGES = (
    "found_to_ticket",
    "ticket_to_decision",
    "decision_to_sent",
    "sent_to_mined",
    "mined_to_final",
    "decision_to_mined",
)
QUANTILES = {"p05": Fraction(5, 100), "p25": Fraction(1, 4), "p50": Fraction(1, 2), "p75": Fraction(3, 4),
             "p95": Fraction(95, 100)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """One execution, as the store or the caller of `record_execution` knows it.

    `delivered`: a node had at least one of its transactions. `success`: mined with status 1. `seconds`: decision
    to receipt, None without a receipt. `net` and `gas_cost` in wei of the native coin, None until settled;
    `expected`: the net that the send's simulation promised. `at` orders the curve (the receipt's time), `key` tells
    apart what shares it. `stages`: seconds of the STAGES that are known. `filler`: it only filled a nonce gap.
    """

    delivered: bool
    success: bool
    seconds: float | None = None
    net: Amount | None = None
    gas_used: int | None = None
    gas_cost: int | None = None
    error_class: str = ""
    at: str = ""
    key: str = ""
    expected: int | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    filler: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds of one stage over the executions that have it."""

    count: int
    mean: float
    p50: float
    p95: float
    most: float


@dataclass(frozen=True, slots=True)
class Profit:
    """The distribution of net over all that settled, reverts included and fillers not, in wei.

    `quantiles` are values that occurred (nearest rank). `expectancy` is the mean net of one settled execution,
    `mean_win` and `mean_loss` of those above and below 0; None of none. `drawdown` is the deepest fall of the running
    sum under its highest before (or under 0), `losing_run` the most losses in a row, in the order of the receipts.
    `without_best` is the sum without the one best execution that won something. Running sum and sum are of money:
    fillers are in them.
    """

    settled: int = 0
    wins: int = 0
    losses: int = 0
    won: Amount = 0
    lost: Amount = 0
    best: Amount | None = None
    worst: Amount | None = None
    quantiles: Mapping[str, Amount] = field(default_factory=dict)
    expectancy: Fraction | None = None
    drawdown: Amount = 0
    losing_run: int = 0
    without_best: Amount = 0

    @property
    def even(self) -> int:
        return self.settled - self.wins - self.losses

    @property
    def mean_win(self) -> Fraction | None:
        return Fraction(self.won) / self.wins if self.wins else None

    @property
    def mean_loss(self) -> Fraction | None:
        return Fraction(-self.lost) / self.losses if self.losses else None

    @property
    def factor(self) -> float | None:
        """Won ÷ lost: inf where nothing was lost, None where nothing was won or lost."""
        if self.lost:
            return float(Fraction(self.won) / Fraction(self.lost))
        return math.inf if self.won else None


@dataclass(frozen=True, slots=True)
class Gas:
    """`used` gas and `paid` wei over all that settled; `wasted_…` the part of those that did not succeed."""

    used: int = 0
    paid: int = 0
    wasted_used: int = 0
    wasted_paid: int = 0


@dataclass(frozen=True, slots=True)
class Promise:
    """What the send's simulations promised of settled executions, and what the receipts then said; wei."""

    executions: int = 0
    expected: int = 0
    realised: Amount = 0

    @property
    def ratio(self) -> float | None:
        """Realised ÷ expected; None where nothing above 0 was expected."""
        return float(Fraction(self.realised) / self.expected) if self.expected > 0 else None


@dataclass(frozen=True, slots=True)
class Performance:
    """The fold's result; a mean over nothing is None.

    A filler, which only fills a nonce gap, is no execution: `fillers` counts them, `filler_net` (wei, a cost) is what
    they came to. Their money is in `net_profit`, `gas_spent` and `gas` (wasted), their errors in `error_counts`, and
    they are in no other count, rate, mean or time. `profit.won` − `profit.lost` + `filler_net` is `net_profit`.
    `success_rate` = successes ÷ delivered, `success_interval` Wilson's 95 % interval of it. `avg_profit` (wei) and
    `gas_efficiency` (gas) are means over successes; `net_profit` and `gas_spent` are exact sums over all that settled,
    failures' gas included; `gas_share` = gas cost ÷ gross, gross being net plus gas cost, None where nothing was
    grossed. `promise` is over all that settled, `promise_of_successes` over those that succeeded.
    """

    executions: int
    delivered: int
    successes: int
    success_rate: float | None
    avg_seconds: float | None
    p50_seconds: float | None
    p95_seconds: float | None
    avg_profit: Fraction | None
    net_profit: Amount
    gas_spent: int
    gas_efficiency: float | None
    gas_share: float | None
    error_counts: Mapping[str, int]
    success_interval: tuple[float, float] | None = None
    profit: Profit = Profit()
    gas: Gas = Gas()
    promise: Promise = Promise()
    promise_of_successes: Promise = Promise()
    stages: Mapping[str, Spread] = field(default_factory=dict)
    fillers: int = 0
    filler_net: Amount = 0


def fold(executions: Iterable[ExecutionFacts]) -> Performance:
    """Sum up. The order of `executions` does not matter: the curve goes by `at`, then `key`, then `net`."""
    facts = list(executions)
    trades = [fact for fact in facts if not fact.filler]
    delivered = [fact for fact in trades if fact.delivered]
    successes = [fact for fact in delivered if fact.success]
    seconds = sorted(fact.seconds for fact in trades if fact.seconds is not None)
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
        executions=len(trades),
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
        success_interval=wilson(len(successes), len(delivered)),
        profit=_profit(facts),
        gas=Gas(
            used=sum(fact.gas_used or 0 for fact in facts),
            paid=gas_spent,
            wasted_used=sum(fact.gas_used or 0 for fact in facts if fact.filler or not fact.success),
            wasted_paid=sum(fact.gas_cost or 0 for fact in facts if fact.filler or not fact.success),
        ),
        promise=_promise(trades),
        promise_of_successes=_promise(successes),
        stages=_stages(trades),
        fillers=len(facts) - len(trades),
        filler_net=sum((fact.net for fact in facts if fact.filler and fact.net is not None), 0),
    )


def curve(executions: Iterable[ExecutionFacts]) -> list[tuple[ExecutionFacts, Amount, Amount]]:
    """Settled executions in the order of their receipts, each with its net and the running sum, in wei."""
    settled = [(fact, fact.net) for fact in executions if fact.net is not None]
    settled.sort(key=lambda pair: (pair[0].at, pair[0].key, pair[1]))
    points: list[tuple[ExecutionFacts, Amount, Amount]] = []
    total: Amount = 0
    for fact, net in settled:
        total += net
        points.append((fact, net, total))
    return points


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float] | None:
    """Wilson's score interval: it holds the true rate in 95 of 100 cases. None of no trials."""
    if not trials:
        return None
    rate = successes / trials
    middle = rate + z * z / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if not successes else max(0.0, (middle - spread) / scale)
    high = 1.0 if successes == trials else min(1.0, (middle + spread) / scale)
    return low, high


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Linear between the two nearest of `ordered` values, None of none."""
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def nearest_rank(ordered: Sequence[Amount], share: Fraction) -> Amount:
    """The least of `ordered` values (not none) that has at least `share` of them at or under it."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _profit(facts: Iterable[ExecutionFacts]) -> Profit:
    points = curve(facts)
    if not points:
        return Profit()
    nets = sorted(net for fact, net, _ in points if not fact.filler)
    height: Amount = 0
    drawdown: Amount = 0
    run = longest = 0
    for fact, net, total in points:
        height = max(height, total)
        drawdown = max(drawdown, height - total)
        if not fact.filler:
            run = run + 1 if net < 0 else 0
            longest = max(longest, run)
    total = points[-1][2]
    if not nets:
        return Profit(drawdown=drawdown, without_best=total)
    return Profit(
        settled=len(nets),
        wins=sum(net > 0 for net in nets),
        losses=sum(net < 0 for net in nets),
        won=sum(net for net in nets if net > 0),
        lost=-sum(net for net in nets if net < 0),
        best=nets[-1],
        worst=nets[0],
        quantiles={name: nearest_rank(nets, share) for name, share in QUANTILES.items()},
        expectancy=Fraction(sum(nets)) / len(nets),
        drawdown=drawdown,
        losing_run=longest,
        without_best=total - max(nets[-1], 0),
    )


def _promise(facts: Iterable[ExecutionFacts]) -> Promise:
    both = [(fact.expected, fact.net) for fact in facts if fact.expected is not None and fact.net is not None]
    return Promise(len(both), sum(expected for expected, _ in both), sum((net for _, net in both), 0))


def _stages(facts: Sequence[ExecutionFacts]) -> dict[str, Spread]:
    found: dict[str, Spread] = {}
    for name in STAGES:
        values = sorted(fact.stages[name] for fact in facts if name in fact.stages)
        if values:
            found[name] = Spread(
                len(values),
                math.fsum(values) / len(values),
                quantile(values, 0.5) or 0.0,
                quantile(values, 0.95) or 0.0,
                values[-1],
            )
    return found


class PerformanceMonitor:
    """Gathers executions by hand and reports on them, by the same fold as `arbtui report`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._facts: list[ExecutionFacts] = []

    @property
    def facts(self) -> tuple[ExecutionFacts, ...]:
        """What has been recorded, in order."""
        return tuple(self._facts)

    @property
    def performance(self) -> Performance:
        """The whole fold of what has been recorded."""
        return fold(self._facts)

    async def record_execution(self, start_time: float, result: Mapping[str, Any]) -> None:
        """Record an execution that began at `start_time` (seconds, as `time.time()` gives) and has just ended.

        `result`: `success` (bool); `profit` (wei, net of gas) and `gas_used` where it succeeded; optional
        `gas_cost` (wei), `expected` (the net that was promised, wei), `delivered` (default True: a failure counts
        against the success rate) and `error` (its class). Raises UsageError for a result that cannot be counted.
        """
        success = result.get("success")
        if not isinstance(success, bool):
            raise UsageError("record_execution: result['success'] must be True or False")
        error = result.get("error") or ""
        # The wall clock may have been set back meanwhile.
        seconds = max(0.0, self._clock() - start_time)
        self._facts.append(
            ExecutionFacts(
                delivered=success or bool(result.get("delivered", True)),
                success=success,
                seconds=seconds,
                net=_number(result, "profit", required=success),
                gas_used=_integer(result, "gas_used", required=success),
                gas_cost=_integer(result, "gas_cost", required=False),
                error_class=str(error) or ("" if success else "unknown"),
                key=f"{len(self._facts):012d}",
                expected=_integer(result, "expected", required=False, signed=True),
                stages={"decision_to_mined": seconds},
            )
        )

    async def get_performance_report(self) -> dict[str, Any]:
        """The figures so far. Times in seconds, profits in wei, gas in gas; a mean over nothing is None."""
        result = self.performance
        profit, gas, promise = result.profit, result.gas, result.promise
        return {
            "avg_execution_time": result.avg_seconds,
            "success_rate": result.success_rate,
            "avg_profit": _plain(result.avg_profit),
            "gas_efficiency": result.gas_efficiency,
            "executions": result.executions,
            "successes": result.successes,
            "success_interval": result.success_interval,
            "p50_execution_time": result.p50_seconds,
            "p95_execution_time": result.p95_seconds,
            "net_profit": _plain(result.net_profit),
            "profit_distribution": {
                "settled": profit.settled,
                "wins": profit.wins,
                "losses": profit.losses,
                "best": _plain(profit.best),
                "worst": _plain(profit.worst),
                **{name: _plain(value) for name, value in profit.quantiles.items()},
            },
            "expectancy": _plain(profit.expectancy),
            "profit_factor": profit.factor,
            "max_drawdown": _plain(profit.drawdown),
            "gas_spent_wei": result.gas_spent,
            "gas_share": result.gas_share,
            "gas_used": gas.used,
            "gas_wasted": gas.wasted_used,
            "gas_wasted_wei": gas.wasted_paid,
            "expected_net": promise.expected,
            "realised_share": promise.ratio,
            "error_counts": dict(result.error_counts),
        }


def _number(result: Mapping[str, Any], name: str, *, required: bool) -> Amount | None:
    value = result.get(name)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction)) or not math.isfinite(value):
        raise UsageError(f"record_execution: result[{name!r}] must be a number, not {value!r}")
    return value if isinstance(value, int) else Fraction(value)


def _integer(result: Mapping[str, Any], name: str, *, required: bool, signed: bool = False) -> int | None:
    value = result.get(name)
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (value < 0 and not signed):
        raise UsageError(f"record_execution: result[{name!r}] must be a whole number, not {value!r}")
    return value


def _plain(value: Amount | None) -> int | float | None:
    if value is None or isinstance(value, int):
        return value
    return value.numerator if value.denominator == 1 else float(value)
