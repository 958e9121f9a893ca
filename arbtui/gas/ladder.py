from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from arbtui.domain import FeeLadder, FeeStep
from arbtui.gas.fees import guaranteed_blocks
from arbtui.gas.policy import GasStrategy
from arbtui.units import Wei, mul_div_up

CANCEL_GAS = 21_000
"""A self-transfer of nothing."""


def replacement_floor(old: int) -> Wei:
    """Least fee that replaces `old` on geth, reth and erigon: 10 % more, rounded up, and strictly more.

    Rule FB-1: reth rounds up where geth rounds down, so that a floor-rounded bump fails there by one wei.
    """
    return Wei(max(mul_div_up(old, 110, 100), old + 1))


def buffered_up(base_fee_per_gas: int, buffer: Decimal) -> Wei:
    return Wei(int((Decimal(base_fee_per_gas) * buffer).to_integral_value(rounding=ROUND_CEILING)))


def build_ladder(
    name: str,
    strategy: GasStrategy,
    gas_limit: int,
    next_base: int,
    tip: int,
    max_fee_per_gas: int,
    block_time_s: float,
) -> FeeLadder:
    """The steps a strategy would climb from `next_base` wei per gas, each at least the replacement rule above the last.

    A try lasts its timeout or one block, whichever is longer. No step's cap passes `max_fee_per_gas`: where the
    next would, the ladder ends. A ladder without a step means the ceiling is under the market.
    """
    wait = max(strategy.timeout, block_time_s)
    steps: list[FeeStep] = []
    cap, priority = buffered_up(next_base, strategy.buffer) + tip, tip
    for attempt in range(1, strategy.max_tries + 1):
        if steps:
            cap = max(replacement_floor(cap), buffered_up(cap, strategy.buffer))
            priority = replacement_floor(priority)
        if cap > max_fee_per_gas:
            break
        steps.append(FeeStep(attempt, Wei(cap), Wei(min(priority, cap)), wait * (attempt - 1)))
    last = steps[-1].max_fee_per_gas if steps else 0
    covered = steps[0].max_fee_per_gas - steps[0].max_priority_fee_per_gas if steps else 0
    return FeeLadder(
        strategy=name,
        gas_limit=gas_limit,
        steps=tuple(steps),
        base_fee_per_gas=Wei(next_base),
        worst_cost=Wei(last * gas_limit),
        cancel_headroom=Wei(replacement_floor(last) * CANCEL_GAS if steps else 0),
        guaranteed_blocks=guaranteed_blocks(next_base, covered),
    )
