from __future__ import annotations

from dataclasses import dataclass

from arbtui.units import Wei

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True)
class FeeStep:
    """One try: `after_s` seconds from the first send, unless it mined before.

    `worst_cost` is its max fee times the gas limit. `guaranteed_blocks` counts the blocks from the head whose base
    fee its cap is certain to cover, `guaranteed_until` is the last of them; `observed_share` is the share of recent
    blocks it would have entered, None where nothing was observed.
    """

    attempt: int
    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    after_s: float
    worst_cost: Wei = _NOTHING
    guaranteed_blocks: int = 0
    guaranteed_until: int | None = None
    observed_share: float | None = None


@dataclass(frozen=True, slots=True)
class FeeLadder:
    """The tries a gas strategy would climb for `gas_limit` gas.

    `worst_cost` is the last step's fee cap times the gas limit; `cancel_headroom` is kept beside it for a
    self-transfer of 21,000 gas that must outbid the last step. `guaranteed_blocks` counts the blocks from the
    head for which the first step's cap covers the base fee however full the blocks are. `ceiling` is the highest
    max fee allowed; `capped` says that it cut the ladder. `chosen` is the strategy the steps come from: `strategy`
    itself, or what `dynamic` stood for, and `why`.
    """

    strategy: str
    gas_limit: int
    steps: tuple[FeeStep, ...]
    base_fee_per_gas: Wei
    worst_cost: Wei
    cancel_headroom: Wei
    guaranteed_blocks: int
    ceiling: Wei = _NOTHING
    capped: bool = False
    chosen: str = ""
    why: str = ""
