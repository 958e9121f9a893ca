from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal

from arbtui.domain import FeeLadder, FeeStep
from arbtui.gas.fees import FeeSample, guaranteed_blocks, observed_share
from arbtui.gas.policy import GasStrategy
from arbtui.gas.replacement import replacement_floor
from arbtui.units import Wei

CANCEL_GAS = 21_000
"""A self-transfer of nothing."""


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
    *,
    market: Sequence[int] = (),
    history: Sequence[FeeSample] = (),
    head: int | None = None,
    block_gas_limit: int | None = None,
    chosen: str = "",
    why: str = "",
) -> FeeLadder:
    """The steps a strategy would climb, each at least the replacement rule above the last. Prices in wei per gas.

    First: buffer × `next_base`, rounded up, + `tip`. Then the greater of buffer × market + tip and the replacement
    floor; `market` holds the base fees expected at the second, third … try, and is `next_base` where it has none.
    A try lasts its timeout or one block, whichever is longer. No step's cap passes `max_fee_per_gas`: where the
    replacement floor would, the ladder ends (`capped`). A ladder without a step means the ceiling is under the
    market. `history` gives each step its observed share; `head` and `block_gas_limit` the last block whose base fee
    it is certain to cover. `chosen` is the strategy that `name` stands for, where that is another, and `why`.
    """
    wait = max(strategy.timeout, block_time_s)
    steps: list[FeeStep] = []
    cap, priority, capped = 0, tip, False
    for attempt in range(1, strategy.max_tries + 1):
        base = market[attempt - 2] if 2 <= attempt <= len(market) + 1 else next_base
        wanted = buffered_up(base, strategy.buffer)
        if steps:
            priority = replacement_floor(priority)
            least = replacement_floor(cap)
            cap = max(least, wanted + priority)
            if cap > max_fee_per_gas >= least:
                cap, capped = max_fee_per_gas, True
        else:
            cap = wanted + priority
        if cap > max_fee_per_gas:
            capped = True
            break
        paid = min(priority, cap)
        blocks = guaranteed_blocks(next_base, cap - paid, gas_limit=block_gas_limit)
        steps.append(
            FeeStep(
                attempt=attempt,
                max_fee_per_gas=Wei(cap),
                max_priority_fee_per_gas=Wei(paid),
                after_s=wait * (attempt - 1),
                worst_cost=Wei(cap * gas_limit),
                guaranteed_blocks=blocks,
                guaranteed_until=None if head is None else head + blocks,
                observed_share=observed_share(cap, paid, history),
            )
        )
    last = steps[-1].max_fee_per_gas if steps else 0
    return FeeLadder(
        strategy=name,
        gas_limit=gas_limit,
        steps=tuple(steps),
        base_fee_per_gas=Wei(next_base),
        worst_cost=Wei(last * gas_limit),
        cancel_headroom=Wei(replacement_floor(last) * CANCEL_GAS if steps else 0),
        guaranteed_blocks=steps[0].guaranteed_blocks if steps else 0,
        ceiling=Wei(max_fee_per_gas),
        capped=capped,
        chosen=chosen or name,
        why=why,
    )
