"""The fold beside a recomputation that is slow and plain; and one store read by the report and by plain SQL."""

from __future__ import annotations

import math
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbtui.analysis.review import Review
from arbtui.domain import Delivery, ExecutionStatus, LenderId, Token
from arbtui.monitor import ExecutionFacts, build_report, fold
from arbtui.monitor.metrics import Gauges
from arbtui.monitor.performance import QUANTILES, STAGES, nearest_rank, wilson
from arbtui.store import Store, open_store
from arbtui.store.desk import read_desk
from arbtui.units import ETHER
from tests import factories as make

S = ExecutionStatus
NETS = st.integers(-(2**255), 2**255) | st.integers(-5, 5)
FACTS = st.builds(
    ExecutionFacts,
    delivered=st.booleans(),
    success=st.booleans(),
    seconds=st.none() | st.floats(0, 1e6),
    net=st.none() | NETS,
    gas_used=st.none() | st.integers(0, 30_000_000),
    gas_cost=st.none() | st.integers(0, 2**90),
    at=st.sampled_from(["a", "b", "c", "d"]),
    key=st.text("xyz", max_size=2),
    expected=st.none() | NETS,
    stages=st.dictionaries(st.sampled_from(STAGES), st.floats(0, 1e6)),
    filler=st.sampled_from([False, False, False, True]),
)


@given(st.lists(FACTS, max_size=25))
def test_profit_gas_and_promises_are_what_counting_by_hand_gives(facts: list[ExecutionFacts]) -> None:
    found = fold(facts)
    landed = sorted((f for f in facts if f.net is not None), key=lambda f: (f.at, f.key, f.net or 0))
    money = [int(f.net or 0) for f in landed]
    nets = [int(f.net or 0) for f in landed if not f.filler]
    trades = [f for f in facts if not f.filler]
    assert (found.executions, found.fillers) == (len(trades), len(facts) - len(trades))
    assert found.delivered == sum(f.delivered for f in trades)
    assert found.successes == sum(f.delivered and f.success for f in trades)
    profit = found.profit
    assert profit.settled == len(nets)
    assert (profit.wins, profit.losses, profit.even) == (
        len([n for n in nets if n > 0]),
        len([n for n in nets if n < 0]),
        nets.count(0),
    )
    assert profit.won - profit.lost == sum(nets) == found.net_profit - found.filler_net
    assert found.net_profit == sum(money)
    assert (profit.best, profit.worst) == ((max(nets), min(nets)) if nets else (None, None))
    assert profit.expectancy == (Fraction(sum(nets), len(nets)) if nets else None)
    # Every pair of places on the curve, the start included: the deepest way down.
    heights = [sum(money[:i]) for i in range(len(money) + 1)]
    assert profit.drawdown == max(
        (heights[i] - heights[j] for i in range(len(heights)) for j in range(i, len(heights))), default=0
    )
    runs = [
        j - i for i in range(len(nets)) for j in range(i, len(nets) + 1) if all(net < 0 for net in nets[i:j])
    ]
    assert profit.losing_run == max(runs, default=0)
    winners = [n for n in nets if n > 0]
    assert profit.without_best == sum(money) - (max(winners) if winners else 0)
    if profit.lost:
        assert profit.factor == pytest.approx(float(Fraction(profit.won) / Fraction(profit.lost)))
    else:
        assert profit.factor == (math.inf if winners else None)
    for name, share in QUANTILES.items() if nets else ():
        value = profit.quantiles[name]
        assert value in nets
        assert sum(n <= value for n in nets) >= share * len(nets)
        assert sum(n < value for n in nets) < share * len(nets)
    assert found.gas.used == sum(f.gas_used or 0 for f in facts)
    assert found.gas.wasted_used == sum(f.gas_used or 0 for f in facts if f.filler or not f.success)
    assert found.gas.paid - found.gas.wasted_paid == sum(f.gas_cost or 0 for f in trades if f.success)
    both = [(f.expected, f.net) for f in trades if f.expected is not None and f.net is not None]
    assert found.promise.executions == len(both)
    assert found.promise.realised - found.promise.expected == sum(int(n) - e for e, n in both)
    for name in STAGES:
        values = sorted(f.stages[name] for f in trades if name in f.stages)
        spread = found.stages.get(name)
        assert (spread.count if spread else 0) == len(values)
        if spread:
            assert spread.mean == pytest.approx(math.fsum(values) / len(values))
            assert (values[0], values[-1]) == (min(values), spread.most)
            assert values[0] <= spread.p50 <= spread.p95 <= spread.most
    assert fold(reversed(facts)) == found


@given(st.lists(FACTS, max_size=20), st.integers(0, 20))
def test_sums_of_the_parts_are_the_whole(facts: list[ExecutionFacts], cut: int) -> None:
    whole, one, other = fold(facts), fold(facts[:cut]), fold(facts[cut:])
    assert whole.net_profit == one.net_profit + other.net_profit
    assert whole.profit.won == one.profit.won + other.profit.won
    assert whole.gas.wasted_paid == one.gas.wasted_paid + other.gas.wasted_paid
    assert whole.promise.expected == one.promise.expected + other.promise.expected
    assert whole.successes == one.successes + other.successes


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_solves_its_own_equation(successes: int, failures: int) -> None:
    """Each bound p is where the observed rate stands 1.96 standard errors of p away."""
    trials = successes + failures
    found = wilson(successes, trials)
    if not trials:
        assert found is None
        return
    assert found is not None
    rate = successes / trials
    low, high = found
    assert 0 <= low <= rate <= high <= 1
    for bound in found:
        if 0 < bound < 1:
            assert abs(rate - bound) == pytest.approx(
                1.959964 * math.sqrt(bound * (1 - bound) / trials), rel=1e-6
            )
    assert (low == 0) == (successes == 0)
    assert (high == 1) == (failures == 0)


@given(st.lists(NETS, min_size=1, max_size=40), st.fractions(0, 1))
def test_a_nearest_rank_is_one_of_the_values(values: list[int], share: Fraction) -> None:
    ordered = sorted(values)
    found = nearest_rank(ordered, share)
    assert sum(v <= found for v in ordered) >= share * len(ordered)


ENDS = st.sampled_from([S.MINED, S.MINED, S.REVERTED, S.CANCELLED, S.REJECTED, S.SUBMITTED])
TRADES = st.lists(
    st.tuples(
        ENDS,
        st.sampled_from(list(LenderId)[:3]),
        st.integers(-(10**29), 10**29) | st.integers(-(10**13), 10**13),
        st.integers(21_000, 900_000),
        st.integers(0, 3) .map(lambda days: days * 86_400.0),
        st.sampled_from([make.WETH, make.DAI, Token(make.address(7), "WETH", 18)]),
        st.sampled_from([("uniswap", "uniswap"), ("uniswap", "sushiswap")]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=12)
@given(TRADES)
def test_report_and_plain_sql_agree_to_the_wei(trades: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), "live") as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            for number, (status, lender, gross, gas_used, decided, token, dexes, filler) in enumerate(
                trades, 1
            ):
                name = f"e{number}"
                if filler:
                    make.fill_gap(batch, name, number, make.at(decided), make.at(decided + 3), gas_used)
                    continue
                found = make.opportunity(ETHER * number, token=token, path=make.path(dexes))
                ticket = make.ticket(f"t{number}", found, lender=lender)
                batch.ticket(ticket, {})
                batch.decision(make.decision(ticket.id))
                batch.execution(name, ticket, S.PREPARED, decided_at=make.at(decided))
                delivery = Delivery.REJECTED if status is S.REJECTED else Delivery.DELIVERED
                batch.attempt(make.attempt(name, nonce=number, delivery=delivery))
                batch.execution_moved(name, S.PREPARED, status, "told", make.at(decided + 3))
                if status in (S.MINED, S.REVERTED, S.CANCELLED):
                    told = make.settlement(name, gross=gross, gas_used=gas_used, success=status is S.MINED)
                    batch.settlement(told, make.ROLES, make.TOKENS)
        with open_store(folder) as reader:
            report = build_report(reader)
            rows = reader.query("SELECT * FROM v_figures")
            days = {
                day: build_report(
                    reader,
                    since=f"{day}T00:00:00.000000+00:00",
                    until=f"{day}T23:59:59.999999+00:00",
                )
                for day in (make.at(number * 86_400.0)[:10] for number in range(4))
            }
            newest = f"{max(days)}T23:00:00.000000+00:00"
            desk = read_desk(reader, newest, Path(folder))
            (funnel,) = reader.funnel()
            review = Review.read(reader)
        gauges = Gauges(Path(folder), "live")
        metrics = {name: value for name, _, value in gauges.samples()}
        gauges.close()
    # The desk sums its day itself.
    today = days[newest[:10]]
    assert str(desk.today.net_wei) == today["net_profit"]
    assert (desk.today.settled, desk.today.mined) == (today["profit"]["settled"], today["successes"])
    figures = {(row["scope"], row["key"]): row for row in rows}
    if not trades:
        assert figures == {}
        return
    total = figures["total", ""]
    for name in ("executions", "fillers", "delivered", "successes", "success_rate"):
        assert total[name] == report[name], name
    assert report["fillers"] == funnel["fillers"] == sum(trade[-1] for trade in trades)
    assert report["executions"] == funnel["executions"] == sum(report["by_status"].values())
    assert (review.performance.fillers, review.performance.success_rate) == (
        report["fillers"],
        report["success_rate"],
    )
    assert metrics["arbtui_fillers"] == report["fillers"]
    assert metrics.get("arbtui_success_rate") == report["success_rate"]
    assert total["net_wei"] == report["net_profit"]
    assert total["gas_spent_wei"] == report["gas_spent_wei"]
    for scope, groups in (
        ("lender", report["by_lender"]),
        ("strategy", report["by_gas_strategy"]),
        ("token", report["by_base_token"]),
        ("path", report["by_path"]),
        ("day", {day: one for day, one in days.items() if one["executions"] or one["fillers"]}),
    ):
        own = {key: row for (of, key), row in figures.items() if of == scope}
        assert own.keys() == groups.keys()
        for key, row in own.items():
            for mine, theirs in (
                ("net_wei", "net_profit"),
                *(
                    (name, name)
                    for name in ("executions", "fillers", "delivered", "successes", "gas_spent_wei")
                ),
            ):
                assert row[mine] == groups[key][theirs], (scope, key, mine)
    assert sum(int(bucket["net_wei"]) for bucket in report["series"]) == int(report["net_profit"])
    assert (
        sum(bin_["count"] for bin_ in report["histogram"]) == report["profit"]["settled"] == total["settled"]
    )
