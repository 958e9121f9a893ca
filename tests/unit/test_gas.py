from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arbtui.domain import BlockRef
from arbtui.errors import NodeError, NodeUnreachable
from arbtui.execution import GasOptimizedExecutor, LadderExhausted
from arbtui.gas import GasPolicy, GasStrategy, build_ladder, next_base_fee, replacement_floor, suggested_tip
from arbtui.gas.fees import guaranteed_blocks, highest_base_fee
from arbtui.units import GWEI, Wei

FULL = BlockRef(1, "0x" + "1" * 64, "0x" + "0" * 64, 0, Wei(100 * GWEI), 30_000_000, 30_000_000)


@pytest.mark.parametrize(
    ("base_fee", "used", "limit", "expected"),
    [
        # EIP-1559's own test vectors' shapes: at target, full, empty, and the least step of 1 wei.
        (1_000_000_000, 10_000_000, 20_000_000, 1_000_000_000),
        (1_000_000_000, 20_000_000, 20_000_000, 1_125_000_000),
        (1_000_000_000, 0, 20_000_000, 875_000_000),
        (1_000_000_000, 9_000_000, 20_000_000, 987_500_000),
        (1, 20_000_000, 20_000_000, 2),
    ],
)
def test_the_base_fee_recurrence(base_fee: int, used: int, limit: int, expected: int) -> None:
    block = replace(FULL, base_fee_per_gas=Wei(base_fee), gas_used=used, gas_limit=limit)
    assert next_base_fee(block) == expected


@given(st.integers(1, 10**13), st.integers(0, 12))
def test_full_blocks_are_the_worst_there_is(base_fee: int, blocks: int) -> None:
    block = replace(FULL, base_fee_per_gas=Wei(base_fee))
    for _ in range(blocks):
        block = replace(block, base_fee_per_gas=next_base_fee(block))
    assert block.base_fee_per_gas == highest_base_fee(base_fee, blocks)


def test_twice_the_base_fee_stays_includable_for_five_further_blocks() -> None:
    assert guaranteed_blocks(100 * GWEI, 200 * GWEI) == 6
    assert guaranteed_blocks(100 * GWEI, 108 * GWEI) == 1
    assert guaranteed_blocks(100 * GWEI, 99 * GWEI) == 0


@given(st.integers(0, 10**15))
def test_a_replacement_satisfies_geth_reth_and_anvil(old: int) -> None:
    new = replacement_floor(old)
    assert new > old  # anvil
    assert new >= old * 110 // 100  # geth
    assert new >= -(-old * 110 // 100)  # reth


strategies = st.sampled_from(list(GasPolicy().strategies.items()))


@given(strategies, st.integers(1, 10**12), st.integers(0, 10**11), st.integers(0, 10**13))
def test_every_step_replaces_the_last_and_none_passes_the_ceiling(
    named: tuple[str, GasStrategy], next_base: int, tip: int, ceiling: int
) -> None:
    name, strategy = named
    ladder = build_ladder(name, strategy, 300_000, next_base, tip, ceiling, 12)
    assert len(ladder.steps) <= strategy.max_tries
    for step in ladder.steps:
        assert step.max_fee_per_gas <= ceiling
        assert step.max_priority_fee_per_gas <= step.max_fee_per_gas
        assert Decimal(step.max_fee_per_gas - tip) >= Decimal(next_base) * strategy.buffer or step.attempt > 1
    for old, new in zip(ladder.steps, ladder.steps[1:], strict=False):
        assert new.max_fee_per_gas >= replacement_floor(old.max_fee_per_gas)
        assert new.max_priority_fee_per_gas >= replacement_floor(old.max_priority_fee_per_gas)
        assert new.after_s - old.after_s == max(strategy.timeout, 12)
    if ladder.steps:
        assert ladder.worst_cost == 300_000 * ladder.steps[-1].max_fee_per_gas
    else:
        assert ladder.worst_cost == 0


def test_the_planned_strategies() -> None:
    planned = {name: (s.buffer, s.max_tries, s.timeout) for name, s in GasPolicy().strategies.items()}
    assert planned == {
        "conservative": (Decimal("1.10"), 2, 30),
        "balanced": (Decimal("1.08"), 2, 20),
        "aggressive": (Decimal("1.05"), 3, 15),
    }


def test_the_first_cap_is_the_buffered_base_fee_rounded_up_and_the_tip() -> None:
    ladder = build_ladder("aggressive", GasPolicy().strategies["aggressive"], 21_000, 101, 7, 10**12, 2)
    assert next(step.max_fee_per_gas for step in ladder.steps) == 107 + 7  # ceil(101 * 1.05) = 107


def test_an_unknown_strategy_in_the_configuration_is_an_error() -> None:
    with pytest.raises(ValidationError, match="'reckless' is none of aggressive, balanced, conservative"):
        GasPolicy(strategy="reckless")


def test_the_tip_is_the_median_of_blocks_that_had_one() -> None:
    assert suggested_tip([0, 3 * GWEI, 2 * GWEI, 9 * GWEI, 0], 1, 5 * GWEI) == 3 * GWEI
    assert suggested_tip([0, 0], 1 * GWEI, 5 * GWEI) == 1 * GWEI
    assert suggested_tip([99 * GWEI], 1, 5 * GWEI) == 5 * GWEI


class Market:
    """A node's pool: it refuses every fee cap under `least`."""

    def __init__(self, least: int) -> None:
        self.least = least
        self.offers: list[int] = []

    async def take(self, step) -> int:  # type: ignore[no-untyped-def]
        self.offers.append(step.max_fee_per_gas)
        if step.max_fee_per_gas < self.least:
            raise NodeError(-32003, "max fee per gas less than block base fee")
        return step.attempt


def executor(policy: GasPolicy | None = None) -> GasOptimizedExecutor:
    policy = policy or GasPolicy()

    async def ladder_for(name: str):  # type: ignore[no-untyped-def]
        return build_ladder(name, policy.strategies[name], 300_000, 100 * GWEI, GWEI, 500 * GWEI, 2)

    return GasOptimizedExecutor(policy, ladder_for)


async def test_what_is_underpriced_is_offered_again_dearer() -> None:
    market = Market(least=115 * GWEI)
    assert await executor().execute_with_gas_strategy("aggressive", market.take) == 2
    assert market.offers == sorted(market.offers)
    assert len(market.offers) == 2


async def test_the_ladder_ends() -> None:
    market = Market(least=10**18)
    with pytest.raises(LadderExhausted, match="all 3 steps"):
        await executor().execute_with_gas_strategy("aggressive", market.take)
    assert len(market.offers) == 3


async def test_dynamic_is_left_to_whoever_builds_the_ladder() -> None:
    asked: list[str] = []

    async def ladder_for(name: str):  # type: ignore[no-untyped-def]
        asked.append(name)
        return build_ladder(name, GasPolicy().chosen, 300_000, 100 * GWEI, GWEI, 500 * GWEI, 2)

    taken = await GasOptimizedExecutor(GasPolicy(strategy="dynamic"), ladder_for).execute_with_gas_strategy(
        "dynamic", Market(least=0).take
    )
    assert (taken, asked) == (1, ["dynamic"])


async def test_what_no_higher_fee_mends_goes_through() -> None:
    async def refuse(_step: object) -> int:
        raise NodeError(-32000, "insufficient funds for gas * price + value")

    with pytest.raises(NodeError, match="insufficient funds"):
        await executor().execute_with_gas_strategy("aggressive", refuse)


async def test_an_unknown_strategy_falls_back_to_balanced_with_a_warning(caplog) -> None:  # type: ignore[no-untyped-def]
    market = Market(least=10**18)
    with pytest.raises(LadderExhausted, match="all 2 steps"):
        await executor().execute_with_gas_strategy("reckless", market.take)
    assert "reckless" in caplog.text


@pytest.mark.parametrize("error", [NodeError(-32000, "nonce too low"), NodeUnreachable("gone")])
async def test_a_dearer_copy_mends_nothing_else(error: Exception) -> None:
    calls = 0

    async def fail(step) -> None:  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        await executor().execute_with_gas_strategy("aggressive", fail)
    assert calls == 1
