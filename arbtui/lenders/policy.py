from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from arbtui.domain.fields import AddressField
from arbtui.lenders.aave_v2 import AaveV2
from arbtui.lenders.aave_v3 import AaveV3
from arbtui.lenders.balancer_v2 import BalancerV2
from arbtui.lenders.base import Lender
from arbtui.lenders.maker import Maker
from arbtui.lenders.own import OwnCapital
from arbtui.units import Address


class LenderPolicy(BaseModel):
    """Where a lender is, and whether it may be used."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: AddressField
    enabled: bool = True
    stand_in: bool = False


class OwnPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Base units of any one token; 0 means own capital is never used.
    limit: int = Field(default=0, ge=0)


class LendersPolicy(BaseModel):
    """Which lenders there are on this chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aave_v2: LenderPolicy | None = None
    aave_v3: LenderPolicy | None = None
    balancer_v2: LenderPolicy | None = None
    maker: LenderPolicy | None = None
    own: OwnPolicy = OwnPolicy()


def build_lenders(policy: LendersPolicy, executor: Address) -> tuple[Lender, ...]:
    """The lenders the policy allows, in the order they are shown; own capital last."""
    lenders: list[Lender] = []
    if policy.aave_v2 and policy.aave_v2.enabled:
        lenders.append(AaveV2(policy.aave_v2.address))
    if policy.aave_v3 and policy.aave_v3.enabled:
        lenders.append(AaveV3(policy.aave_v3.address))
    if policy.balancer_v2 and policy.balancer_v2.enabled:
        lenders.append(BalancerV2(policy.balancer_v2.address))
    if policy.maker and policy.maker.enabled:
        lenders.append(Maker(policy.maker.address, policy.maker.stand_in))
    lenders.append(OwnCapital(executor, policy.own.limit))
    return tuple(lenders)
