from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.domain import BlockRef
from arbtui.units import Wei

_ELASTICITY = 2
_CHANGE_DENOMINATOR = 8


def next_base_fee(block: BlockRef) -> Wei:
    """The base fee of the block after `block`, in wei per gas (EIP-1559, exact integer recurrence)."""
    target = block.gas_limit // _ELASTICITY
    base = block.base_fee_per_gas
    if block.gas_used == target or target == 0:
        return base
    if block.gas_used > target:
        return Wei(base + max(1, base * (block.gas_used - target) // target // _CHANGE_DENOMINATOR))
    return Wei(base - base * (target - block.gas_used) // target // _CHANGE_DENOMINATOR)


def highest_base_fee(base_fee_per_gas: int, blocks: int, gas_limit: int | None = None) -> Wei:
    """The base fee after `blocks` further blocks, all full: the most it can be.

    An odd `gas_limit` lets it grow by a hair more than an eighth; without one it is taken as even.
    """
    over, target = (1, 1)
    if gas_limit is not None and gas_limit > 1:
        target = gas_limit // _ELASTICITY
        over = gas_limit - target
    for _ in range(blocks):
        base_fee_per_gas += max(1, base_fee_per_gas * over // target // _CHANGE_DENOMINATOR)
    return Wei(base_fee_per_gas)


def guaranteed_blocks(next_base: int, cap_for_base: int, most: int = 64, gas_limit: int | None = None) -> int:
    """For how many coming blocks the part of the cap left for the base fee covers it, however full they are."""
    blocks, base = 0, next_base
    while blocks < most and base <= cap_for_base:
        blocks += 1
        base = highest_base_fee(base, 1, gas_limit)
    return blocks


def suggested_tip(rewards: Sequence[int], least: int, most: int) -> Wei:
    """Median of recent blocks' median tips, empty blocks left out, within [least, most] wei per gas."""
    seen = sorted(reward for reward in rewards if reward > 0)
    median = seen[len(seen) // 2] if seen else 0
    return Wei(min(most, max(least, median)))


@dataclass(frozen=True, slots=True)
class FeeSample:
    """One past block of a fee history: its base fee, the low tip that still got in, how full it was (0 to 1)."""

    base_fee: int
    low_tip: int
    gas_used_ratio: float = 0.5


_EMPTY = 0.001


def observed_share(max_fee: int, tip: int, history: Sequence[FeeSample]) -> float | None:
    """The share of recent blocks that fees of these figures would have entered; None without blocks to go by.

    A likelihood, not a guarantee. Empty blocks tell nothing of tips and are left out.
    """
    blocks = [block for block in history if block.gas_used_ratio > _EMPTY]
    if not blocks:
        return None
    entered = sum(min(tip, max_fee - block.base_fee) >= max(0, block.low_tip) for block in blocks)
    return entered / len(blocks)


def growth_per_block(base_fees: Sequence[int]) -> float:
    """The mean growth of a series of base fees per block: 0.05 is five per cent, negative falls."""
    if len(base_fees) < 2 or base_fees[0] <= 0 or base_fees[-1] <= 0:
        return 0.0
    return float((base_fees[-1] / base_fees[0]) ** (1 / (len(base_fees) - 1)) - 1)
