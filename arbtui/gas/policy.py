from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from arbtui.gas.limits import NODE_FEE_CAP_WEI
from arbtui.units import GWEI

#: The strategy that chooses one of the others.
DYNAMIC = "dynamic"


class GasStrategy(BaseModel):
    """`buffer` over the next block's base fee, `max_tries` fee steps, `timeout` seconds a try."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    buffer: Decimal = Field(ge=1, le=10)
    max_tries: int = Field(ge=1, le=10)
    timeout: float = Field(gt=0, le=3600)


def _planned() -> dict[str, GasStrategy]:
    return {
        "conservative": GasStrategy(buffer=Decimal("1.10"), max_tries=2, timeout=30),
        "balanced": GasStrategy(buffer=Decimal("1.08"), max_tries=2, timeout=20),
        "aggressive": GasStrategy(buffer=Decimal("1.05"), max_tries=3, timeout=15),
    }


class GasPolicy(BaseModel):
    """How fees are chosen. Prices in wei per gas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strategy: str = "balanced"
    strategies: dict[str, GasStrategy] = Field(default_factory=_planned)
    #: Never pay more per gas, whatever the strategy says.
    max_fee_per_gas: int = Field(default=500 * GWEI, gt=0)
    min_priority_fee_per_gas: int = Field(default=1 * GWEI, ge=0)
    max_priority_fee_per_gas: int = Field(default=5 * GWEI, ge=0)
    #: Never sign more than this for gas limit times max fee, in wei: nodes refuse above 1 coin by default.
    max_cost_wei: int = Field(default=NODE_FEE_CAP_WEI, gt=0)
    #: Gas limit over the simulated gas, which is net of refunds (up to a fifth) while the limit must hold the gross.
    gas_limit_buffer: Decimal = Field(default=Decimal("1.40"), ge=1, le=3)

    @model_validator(mode="after")
    def _known(self) -> GasPolicy:
        if DYNAMIC in self.strategies:
            raise ValueError(f"strategies: {DYNAMIC!r} chooses one of the others and cannot be one itself")
        if not self.strategies:
            raise ValueError("strategies: at least one is needed")
        if self.strategy not in (*self.strategies, DYNAMIC):
            known = ", ".join(sorted([*self.strategies, DYNAMIC]))
            raise ValueError(f"strategy {self.strategy!r} is none of {known}")
        if self.min_priority_fee_per_gas > self.max_priority_fee_per_gas:
            raise ValueError("min_priority_fee_per_gas is above max_priority_fee_per_gas")
        return self

    @property
    def chosen(self) -> GasStrategy:
        """The configured strategy; for `dynamic`, which needs a situation, the middle one of all by buffer."""
        if self.strategy in self.strategies:
            return self.strategies[self.strategy]
        ranked = sorted(self.strategies.values(), key=lambda strategy: strategy.buffer)
        return ranked[len(ranked) // 2]
