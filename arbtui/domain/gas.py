from __future__ import annotations

from dataclasses import dataclass

from arbtui.units import Wei


@dataclass(frozen=True, slots=True)
class FeeStep:
    """One try: `after_s` seconds from the first send, unless it mined before."""

    attempt: int
    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    after_s: float


@dataclass(frozen=True, slots=True)
class FeeLadder:
    """The tries a gas strategy would climb for `gas_limit` gas.

    `worst_cost` is the last step's fee cap times the gas limit; `cancel_headroom` is kept beside it for a
    self-transfer of 21,000 gas that must outbid the last step. `guaranteed_blocks` counts the blocks from the
    head for which the first step's cap covers the base fee however full the blocks are.
    """

    strategy: str
    gas_limit: int
    steps: tuple[FeeStep, ...]
    base_fee_per_gas: Wei
    worst_cost: Wei
    cancel_headroom: Wei
    guaranteed_blocks: int
