"""The strategy `dynamic`: one of the others, chosen from the situation, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from arbtui.gas.fees import growth_per_block
from arbtui.gas.policy import DYNAMIC, GasPolicy, GasStrategy

_FEW_BLOCKS = 2
_FEW_SENDS = 8
_POOR_RECORD = 0.7
_RICH = 5.0
_THIN = 2.0


@dataclass(frozen=True, slots=True)
class InclusionRecord:
    """How a strategy has fared on this chain: executions sent, and those of them that mined."""

    sent: int
    mined: int

    @property
    def share(self) -> float | None:
        return self.mined / self.sent if self.sent >= _FEW_SENDS else None


@dataclass(frozen=True, slots=True)
class Situation:
    """`profit_wei` at stake before gas, `gas_cost_wei` at the market, `base_fees` oldest first, `record` a strategy."""

    profit_wei: int
    gas_cost_wei: int
    blocks_left: int
    block_time_s: float
    base_fees: Sequence[int] = ()
    record: Mapping[str, InclusionRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    strategy: GasStrategy
    reason: str


def choose_strategy(policy: GasPolicy, situation: Situation, name: str | None = None) -> Choice:
    """The strategy that `name` (default: the policy's) stands for now. Only `dynamic` looks at the situation."""
    name = name or policy.strategy
    if name != DYNAMIC:
        return Choice(name, policy.strategies[name], "as configured")
    ranked = sorted(policy.strategies.items(), key=lambda item: (item[1].buffer, -item[1].timeout, item[0]))
    # A try that cannot be followed before the last block has no use for later tries.
    time_left = max(1, situation.blocks_left) * situation.block_time_s
    fast = min(ranked, key=lambda item: (item[1].timeout, item[0]))
    wide = ranked[-1]
    middle = ranked[len(ranked) // 2]
    growth = growth_per_block(situation.base_fees)
    ratio = situation.profit_wei / situation.gas_cost_wei if situation.gas_cost_wei > 0 else float("inf")

    if situation.blocks_left <= _FEW_BLOCKS and growth <= float(fast[1].buffer) - 1:
        chosen, why = fast, f"{_blocks(situation.blocks_left)} left: the shortest tries"
    elif growth > float(middle[1].buffer) - 1:
        chosen, why = wide, f"the base fee grows {growth:.1%} a block: the widest buffer"
    elif ratio >= _RICH:
        chosen, why = wide, f"the profit is {ratio:.1f} times the gas: certainty is worth more than the fee"
    elif ratio < _THIN:
        chosen, why = ranked[0], f"the profit is only {ratio:.1f} times the gas: the smallest buffer"
    else:
        chosen, why = middle, f"the profit is {ratio:.1f} times the gas and fees are calm: the middle way"
    poor = _share(situation, chosen[0])
    if poor is not None and poor < _POOR_RECORD:
        others = [item for item in ranked if (_share(situation, item[0]) or 1.0) > poor and item != chosen]
        if others:
            better = max(others, key=lambda item: (_share(situation, item[0]) or 0.0, item[1].buffer))
            why = f"{chosen[0]} mined only {poor:.0%} here"
            chosen = better
    if (
        chosen[1].timeout > time_left
        and fast[1].timeout < chosen[1].timeout
        and chosen[1].buffer <= fast[1].buffer
    ):
        chosen, why = fast, f"{why}; but only {time_left:g} s are left"
    return Choice(chosen[0], chosen[1], f"{chosen[0]}: {why}")


def _share(situation: Situation, name: str) -> float | None:
    record = situation.record.get(name)
    return None if record is None else record.share


def _blocks(count: int) -> str:
    return f"{count} block" if count == 1 else f"{count} blocks"
