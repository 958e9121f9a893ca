from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from arbtui.units import ETHER


class ValidationPolicy(BaseModel):
    """Limits of the checks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Depth of the thinnest pool of a path, as wei of its input token.
    min_liquidity_wei: int = Field(default=5 * ETHER, ge=0)
    #: Worst hop's price impact, fee left out.
    max_price_impact_bps: int = Field(default=500, ge=0, le=10_000)
    #: What must be left after loan fee and gas.
    min_net_profit_wei: int = Field(default=ETHER // 2_000, ge=0)
    #: Age of the block that was decided on, by the wall clock.
    max_head_age_s: int = Field(default=12, ge=1)
    max_hops: int = Field(default=6, ge=2, le=6)
