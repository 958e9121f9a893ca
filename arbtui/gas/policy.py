from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from arbtui.units import GWEI


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
    #: Gas limit over the simulated gas, which is net of refunds (up to a fifth) while the limit must hold the gross.
    gas_limit_buffer: Decimal = Field(default=Decimal("1.40"), ge=1, le=3)

    @model_validator(mode="after")
    def _known(self) -> GasPolicy:
        if self.strategy not in self.strategies:
            raise ValueError(f"strategy {self.strategy!r} is none of {', '.join(sorted(self.strategies))}")
        if self.min_priority_fee_per_gas > self.max_priority_fee_per_gas:
            raise ValueError("min_priority_fee_per_gas is above max_priority_fee_per_gas")
        return self

    @property
    def chosen(self) -> GasStrategy:
        return self.strategies[self.strategy]
