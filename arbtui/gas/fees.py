from __future__ import annotations

from collections.abc import Sequence

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


def highest_base_fee(base_fee_per_gas: int, blocks: int) -> Wei:
    """The base fee after `blocks` further blocks, all full: the most it can be."""
    for _ in range(blocks):
        base_fee_per_gas += max(1, base_fee_per_gas // _CHANGE_DENOMINATOR)
    return Wei(base_fee_per_gas)


def guaranteed_blocks(next_base: int, cap_for_base: int, most: int = 64) -> int:
    """For how many coming blocks the part of the cap left for the base fee covers it, however full they are."""
    blocks = 0
    while blocks < most and highest_base_fee(next_base, blocks) <= cap_for_base:
        blocks += 1
    return blocks


def suggested_tip(rewards: Sequence[int], least: int, most: int) -> Wei:
    """Median of recent blocks' median tips, empty blocks left out, within [least, most] wei per gas."""
    seen = sorted(reward for reward in rewards if reward > 0)
    median = seen[len(seen) // 2] if seen else 0
    return Wei(min(most, max(least, median)))
