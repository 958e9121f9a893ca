from __future__ import annotations

import asyncio
import math
import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.errors import UsageError
from arbtui.monitor import ExecutionFacts, PerformanceMonitor, fold
from arbtui.monitor.performance import Gas, Profit, curve, quantile

FACTS = st.builds(
    ExecutionFacts,
    delivered=st.booleans(),
    success=st.booleans(),
    seconds=st.none() | st.floats(0, 1e6),
    net=st.none() | st.integers(-(2**255), 2**255),
    gas_used=st.none() | st.integers(0, 30_000_000),
    gas_cost=st.none() | st.integers(0, 2**90),
    error_class=st.sampled_from(["", "underpriced", "timeout"]),
)


@given(st.lists(FACTS, max_size=30))
def test_the_fold_agrees_with_counting_by_hand(facts: list[ExecutionFacts]) -> None:
    result = fold(facts)
    delivered = successes = net = spent = gas = gas_count = profit_count = seconds_count = 0
    profit = 0
    seconds = 0.0
    errors: dict[str, int] = {}
    for fact in facts:
        if fact.delivered:
            delivered += 1
            if fact.success:
                successes += 1
                if fact.net is not None:
                    profit += int(fact.net)
                    profit_count += 1
                if fact.gas_used is not None:
                    gas += fact.gas_used
                    gas_count += 1
        if fact.net is not None:
            net += int(fact.net)
        if fact.gas_cost is not None:
            spent += fact.gas_cost
        if fact.seconds is not None:
            seconds += fact.seconds
            seconds_count += 1
        if fact.error_class:
            errors[fact.error_class] = errors.get(fact.error_class, 0) + 1
    assert (result.executions, result.delivered, result.successes) == (len(facts), delivered, successes)
    assert result.success_rate == (successes / delivered if delivered else None)
    assert result.avg_profit == (Fraction(profit, profit_count) if profit_count else None)
    assert (result.net_profit, result.gas_spent) == (net, spent)
    assert result.gas_efficiency == (gas / gas_count if gas_count else None)
    assert result.avg_seconds == (pytest.approx(seconds / seconds_count) if seconds_count else None)
    assert result.error_counts == errors
    assert result.gas_share == (pytest.approx(spent / (net + spent)) if net + spent > 0 else None)
    assert fold(reversed(facts)) == result


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_where_that_share_of_the_values_does(values: list[float], share: float) -> None:
    found = quantile(sorted(values), share)
    assert found is not None
    assert min(values) <= found <= max(values)
    tolerance = 1e-6 * (1 + found)
    assert sum(value <= found + tolerance for value in values) >= share * (len(values) - 1)
    assert sum(value >= found - tolerance for value in values) >= (1 - share) * (len(values) - 1)


def test_quantiles_of_little() -> None:
    assert quantile([], 0.5) is None
    assert quantile([3.0], 0.95) == 3.0
    assert quantile([1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([0.0, 10.0], 0.95) == pytest.approx(9.5)


async def test_the_plans_usage() -> None:
    monitor = PerformanceMonitor()
    start = time.time() - 2
    await monitor.record_execution(start, {"success": True, "profit": 10**16, "gas_used": 210_000})
    await monitor.record_execution(start, {"success": True, "profit": 3 * 10**16, "gas_used": 230_000})
    await monitor.record_execution(start, {"success": False, "error": "execution_reverted"})
    report = await monitor.get_performance_report()
    assert report["avg_execution_time"] == pytest.approx(2, abs=0.5)
    assert report["success_rate"] == pytest.approx(2 / 3)
    assert report["avg_profit"] == 2 * 10**16
    assert report["gas_efficiency"] == 220_000
    assert report["error_counts"] == {"execution_reverted": 1}
    assert report["executions"] == 3


async def test_a_report_on_nothing_has_nothing_and_does_not_fail() -> None:
    report = await PerformanceMonitor().get_performance_report()
    means = (
        "avg_execution_time",
        "success_rate",
        "avg_profit",
        "gas_efficiency",
        "gas_share",
        "p95_execution_time",
    )
    assert [report[name] for name in means] == [None] * len(means)
    assert (report["executions"], report["net_profit"], report["error_counts"]) == (0, 0, {})


async def test_only_failures_have_a_rate_of_zero_and_no_mean_profit() -> None:
    monitor = PerformanceMonitor(clock=lambda: 10.0)
    await monitor.record_execution(4.0, {"success": False, "gas_cost": 7, "profit": -7})
    report = await monitor.get_performance_report()
    assert (report["success_rate"], report["avg_profit"], report["net_profit"]) == (0.0, None, -7)
    assert report["avg_execution_time"] == 6.0
    assert report["error_counts"] == {"unknown": 1}


async def test_what_never_left_does_not_count_against_the_rate() -> None:
    monitor = PerformanceMonitor(clock=lambda: 10.0)
    await monitor.record_execution(9.0, {"success": True, "profit": 1.5, "gas_used": 1})
    await monitor.record_execution(11.0, {"success": False, "delivered": False})
    report = await monitor.get_performance_report()
    assert (report["success_rate"], report["avg_profit"]) == (1.0, 1.5)
    assert report["avg_execution_time"] == 0.5, "a clock set back counts as no time"


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"success": "yes"},
        {"success": True, "gas_used": 1},
        {"success": True, "profit": 1},
        {"success": True, "profit": "1", "gas_used": 1},
        {"success": True, "profit": float("nan"), "gas_used": 1},
        {"success": True, "profit": 1, "gas_used": -1},
        {"success": True, "profit": True, "gas_used": 1},
    ],
)
async def test_a_result_that_cannot_be_counted_is_refused_whole(result: dict[str, Any]) -> None:
    monitor = PerformanceMonitor()
    with pytest.raises(UsageError, match="record_execution"):
        await monitor.record_execution(time.time(), result)
    assert monitor.facts == ()


async def test_recording_from_many_tasks_loses_nothing() -> None:
    monitor = PerformanceMonitor()
    one = {"success": True, "profit": 1, "gas_used": 1}
    await asyncio.gather(*(monitor.record_execution(time.time(), one) for _ in range(100)))
    assert (await monitor.get_performance_report())["executions"] == 100


def fact(net: int | None, at: int = 0, **changes: Any) -> ExecutionFacts:
    fields: dict[str, Any] = {"delivered": True, "success": net is not None and net > 0, "net": net}
    return ExecutionFacts(**{**fields, "at": f"{at:04d}", "key": f"e{at}", **changes})


def test_nothing_yet() -> None:
    result = fold(())
    assert (result.success_interval, result.stages) == (None, {})
    assert result.profit == Profit()
    assert (result.profit.factor, result.profit.expectancy, result.profit.mean_loss) == (None, None, None)
    assert (result.promise.ratio, result.gas) == (None, Gas())


def test_no_losses() -> None:
    profit = fold([fact(5, 1), fact(7, 2)]).profit
    assert (profit.factor, profit.lost, profit.drawdown, profit.losing_run) == (math.inf, 0, 0, 0)
    assert (profit.mean_win, profit.mean_loss, profit.without_best) == (6, None, 5)


def test_one_trade() -> None:
    result = fold([fact(9, gas_used=3, gas_cost=4, expected=10)])
    profit = result.profit
    assert (profit.best, profit.worst, profit.expectancy) == (9, 9, 9)
    assert set(profit.quantiles.values()) == {9}
    assert result.promise.ratio == 0.9
    low, high = result.success_interval or (1, 0)
    assert high == 1.0
    assert low == pytest.approx(0.2065, abs=1e-4), "one success of one says little"


def test_only_reverts() -> None:
    result = fold([fact(-3, n, success=False, gas_used=2, gas_cost=3, expected=4) for n in range(3)])
    profit = result.profit
    assert (result.success_rate, result.avg_profit, result.net_profit) == (0.0, None, -9)
    assert (profit.factor, profit.won, profit.lost) == (0.0, 0, 9)
    assert (profit.drawdown, profit.losing_run, profit.expectancy) == (9, 3, -3)
    assert (result.gas.wasted_used, result.gas.wasted_paid) == (6, 9)
    assert result.promise.ratio == -9 / 12
    assert result.promise_of_successes.ratio is None
    assert profit.without_best == -9, "there is no winner to leave out"


def test_the_curve_goes_by_receipts_and_not_by_the_order_of_recording() -> None:
    facts = [fact(10, 3), fact(-4, 1), fact(5, 2)]
    assert [total for _, _, total in curve(facts)] == [-4, 1, 11]
    assert fold(facts).profit.drawdown == 4


async def test_the_monitor_has_the_whole_fold() -> None:
    monitor = PerformanceMonitor(clock=lambda: 10.0)
    await monitor.record_execution(9.0, {"success": True, "profit": 5, "gas_used": 1, "expected": 10})
    await monitor.record_execution(9.0, {"success": False, "profit": -7, "gas_used": 2, "gas_cost": 7})
    report = await monitor.get_performance_report()
    assert (
        report["profit_distribution"] | {"settled": 2, "wins": 1, "losses": 1, "best": 5, "worst": -7}
        == (report["profit_distribution"])
    )
    assert (report["expectancy"], report["profit_factor"], report["max_drawdown"]) == (
        -1, pytest.approx(5 / 7), 7
    )  # fmt: skip
    assert (report["gas_wasted"], report["gas_wasted_wei"], report["realised_share"]) == (2, 7, 0.5)
    assert monitor.performance.stages["decision_to_mined"].count == 2
