"""Ladders with their figures, and the strategy that chooses."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arbtui.domain import BlockRef
from arbtui.gas import (
    DYNAMIC,
    FeeSample,
    GasPolicy,
    GasStrategy,
    InclusionRecord,
    Situation,
    build_ladder,
    choose_strategy,
    next_base_fee,
    observed_share,
    replacement_floor,
)
from arbtui.gas.fees import growth_per_block, guaranteed_blocks, highest_base_fee
from arbtui.gas.ladder import buffered_up
from arbtui.units import GWEI, Wei

PLANNED = GasPolicy().strategies


@given(
    st.sampled_from(sorted(PLANNED)),
    st.integers(1, 500 * GWEI),
    st.integers(0, 50 * GWEI),
    st.integers(0, 2_000 * GWEI),
    st.lists(st.integers(1, 800 * GWEI), max_size=3),
    st.sampled_from([2, 12]),
)
def test_ladders(
    name: str, next_base: int, tip: int, ceiling: int, market: list[int], block_time: float
) -> None:
    strategy = PLANNED[name]
    ladder = build_ladder(
        name,
        strategy,
        300_000,
        next_base,
        tip,
        ceiling,
        block_time,
        market=market,
        head=100,
        block_gas_limit=30_000_001,
    )
    steps = ladder.steps
    assert len(steps) <= strategy.max_tries
    if len(steps) < strategy.max_tries:
        assert ladder.capped
        assert not steps or replacement_floor(steps[-1].max_fee_per_gas) > ceiling
    for step in steps:
        assert step.max_fee_per_gas <= ceiling
        assert step.max_priority_fee_per_gas <= step.max_fee_per_gas
        assert step.worst_cost == step.max_fee_per_gas * 300_000
        assert step.guaranteed_until == 100 + step.guaranteed_blocks
    if steps:
        assert steps[0].max_fee_per_gas == buffered_up(next_base, strategy.buffer) + tip
        assert steps[0].guaranteed_blocks >= 1
        assert ladder.worst_cost == steps[-1].worst_cost
    for number, (old, new) in enumerate(itertools.pairwise(steps)):
        least = replacement_floor(old.max_fee_per_gas)
        assert new.max_fee_per_gas >= least
        assert new.max_priority_fee_per_gas >= replacement_floor(old.max_priority_fee_per_gas)
        assert new.after_s - old.after_s == max(strategy.timeout, block_time)
        base = market[number] if number < len(market) else next_base
        wanted = buffered_up(base, strategy.buffer) + replacement_floor(old.max_priority_fee_per_gas)
        assert new.max_fee_per_gas == min(ceiling, max(least, wanted))


@given(st.integers(1, 10**12), st.integers(2, 60_000_001), st.integers(1, 12))
def test_the_guarantee_is_that_of_the_exact_recurrence(base: int, gas_limit: int, blocks: int) -> None:
    """Full block after full block, computed as a chain does it: the cap still covers the base fee, and no longer."""
    cap = highest_base_fee(base, blocks - 1, gas_limit)
    promised = guaranteed_blocks(base, cap, gas_limit=gas_limit)
    assert promised >= blocks
    block = BlockRef(
        number=0,
        hash="0x",
        parent_hash="0x",
        timestamp=0,
        base_fee_per_gas=Wei(base),
        gas_limit=gas_limit,
        gas_used=gas_limit,
    )
    for _ in range(promised - 1):
        block = BlockRef(0, "0x", "0x", 0, next_base_fee(block), gas_limit, gas_limit)
        assert block.base_fee_per_gas <= cap
    if promised < 64:
        assert next_base_fee(block) > cap


def test_buffers_of_a_few_per_cent_guarantee_one_block() -> None:
    for name, strategy in PLANNED.items():
        ladder = build_ladder(name, strategy, 21_000, 100 * GWEI, GWEI, 10**15, 12)
        assert ladder.guaranteed_blocks == 1, name


def test_the_observed_share_counts_blocks_that_would_have_taken_it() -> None:
    history = [
        FeeSample(100, 2),  # 110 - 100 = 10 left, tip 5 >= 2
        FeeSample(100, 6),  # tip too low
        FeeSample(107, 4),  # only 3 left for the tip
        FeeSample(120, 0),  # cap under the base fee
        FeeSample(50, 1, 0.0),  # empty: tells nothing
    ]
    assert observed_share(110, 5, history) == pytest.approx(1 / 4)
    assert observed_share(1_000, 6, history) == 1.0
    assert observed_share(110, 5, []) is None
    assert observed_share(110, 5, history[-1:]) is None


def test_growth() -> None:
    assert growth_per_block([100, 110, 121]) == pytest.approx(0.1)
    assert growth_per_block([100]) == 0
    assert growth_per_block([0, 5]) == 0


def situation(**changes: Any) -> Situation:
    usual: dict[str, Any] = {"profit_wei": 300, "gas_cost_wei": 100, "blocks_left": 10, "block_time_s": 12}
    return Situation(**(usual | changes))


DYNAMIC_POLICY = GasPolicy(strategy=DYNAMIC)


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({}, "balanced", "middle way"),
        ({"blocks_left": 2}, "aggressive", "2 blocks left"),
        ({"blocks_left": 1}, "aggressive", "1 block left"),
        ({"base_fees": [100, 110, 121]}, "conservative", "grows 10.0% a block"),
        ({"blocks_left": 1, "base_fees": [100, 110, 121]}, "conservative", "grows 10.0% a block"),
        ({"profit_wei": 900}, "conservative", "9.0 times the gas"),
        ({"profit_wei": 150}, "aggressive", "only 1.5 times"),
        ({"gas_cost_wei": 0}, "conservative", "times the gas"),
        (
            {"record": {"balanced": InclusionRecord(20, 8), "conservative": InclusionRecord(20, 19)}},
            "conservative",
            "balanced mined only 40% here",
        ),
        ({"record": {"balanced": InclusionRecord(3, 0)}}, "balanced", "middle way"),
    ],
)
def test_dynamic_chooses_and_says_why(changes: dict[str, Any], name: str, said: str) -> None:
    choice = choose_strategy(DYNAMIC_POLICY, situation(**changes))
    assert choice.name == name, choice.reason
    assert choice.strategy == DYNAMIC_POLICY.strategies[name]
    assert choice.reason.startswith(f"{name}: ") or said in choice.reason
    assert said in choice.reason


@given(
    st.integers(0, 10**20),
    st.integers(0, 10**18),
    st.integers(-2, 50),
    st.lists(st.integers(0, 10**12), max_size=10),
    st.dictionaries(
        st.sampled_from([*PLANNED, "gone"]),
        st.builds(InclusionRecord, st.integers(0, 50), st.integers(0, 50)),
    ),
)
def test_dynamic_always_chooses_one_that_exists(
    profit: int, cost: int, left: int, base_fees: list[int], record: dict[str, InclusionRecord]
) -> None:
    found = choose_strategy(
        DYNAMIC_POLICY,
        situation(profit_wei=profit, gas_cost_wei=cost, blocks_left=left, base_fees=base_fees, record=record),
    )
    assert found.name in PLANNED
    assert found.reason


def test_a_named_strategy_is_taken_as_it_is() -> None:
    choice = choose_strategy(GasPolicy(), situation(blocks_left=1))
    assert (choice.name, choice.reason) == ("balanced", "as configured")
    assert choose_strategy(GasPolicy(), situation(), "aggressive").name == "aggressive"


def test_dynamic_is_a_choice_and_never_a_strategy_of_its_own() -> None:
    strategy = GasStrategy(buffer=Decimal("1.2"), max_tries=1, timeout=5)
    with pytest.raises(ValidationError, match="cannot be one itself"):
        GasPolicy(strategies={DYNAMIC: strategy})
    with pytest.raises(ValidationError, match="'reckless' is none of balanced, dynamic"):
        GasPolicy(strategy="reckless", strategies={"balanced": strategy})
    only = GasPolicy(strategy=DYNAMIC, strategies={"mine": strategy})
    assert choose_strategy(only, situation()).name == "mine"
    assert only.chosen == strategy
