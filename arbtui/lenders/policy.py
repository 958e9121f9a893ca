from __future__ import annotations

from collections.abc import Callable
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from arbtui.domain import LenderId
from arbtui.domain.fields import AddressField
from arbtui.lenders.aave_v2 import AaveV2
from arbtui.lenders.aave_v3 import AaveV3
from arbtui.lenders.balancer_v2 import BalancerV2
from arbtui.lenders.base import Lender
from arbtui.lenders.erc3156 import Erc3156
from arbtui.lenders.flash_swap import FlashSwap
from arbtui.lenders.maker import Maker
from arbtui.lenders.morpho import Morpho
from arbtui.lenders.own import OwnCapital
from arbtui.lenders.uniswap import PoolsOf
from arbtui.lenders.uniswap_v2 import UniswapV2
from arbtui.lenders.uniswap_v3 import UniswapV3
from arbtui.market.pool import Pool
from arbtui.units import Address


class LenderPolicy(BaseModel):
    """Where a lender is, and whether it may be used; one that may not is quoted all the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: AddressField
    enabled: bool = True


class RegistryPolicy(BaseModel):
    """A lender whose contract may turn: its address, or the registry that is asked for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: AddressField | None = None
    registry: AddressField | None = None
    enabled: bool = True

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.address is None) == (self.registry is None):
            raise ValueError("give either address or registry")
        return self


class MakerPolicy(RegistryPolicy):
    #: It is the local chain's, and is called so wherever it is shown.
    stand_in: bool = False


class UniswapPolicy(BaseModel):
    """A lender that is any of the known pools of some exchanges."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: As `pools[].dex` has them. Only those whose pools call back by Uniswap's own names can lend.
    dexes: tuple[str, ...] = ("uniswap", "sushiswap")
    enabled: bool = True


class OwnPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Base units of any one token; 0 means own capital is never used.
    limit: int = Field(default=0, ge=0)


class LendersPolicy(BaseModel):
    """Which lenders there are on this chain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aave_v2: RegistryPolicy | None = None
    aave_v3: RegistryPolicy | None = None
    spark: RegistryPolicy | None = None
    prime: RegistryPolicy | None = None
    balancer_v2: LenderPolicy | None = None
    maker: MakerPolicy | None = None
    erc3156: LenderPolicy | None = None
    morpho: LenderPolicy | None = None
    uniswap_v3: UniswapPolicy = UniswapPolicy()
    uniswap_v2: UniswapPolicy = UniswapPolicy()
    flash_swap: UniswapPolicy = UniswapPolicy()
    own: OwnPolicy = OwnPolicy()

    def off(self) -> frozenset[LenderId]:
        """The lenders that are quoted and never used."""
        return frozenset(
            LenderId(name)
            for name, entry in self
            if isinstance(entry, LenderPolicy | RegistryPolicy | UniswapPolicy) and not entry.enabled
        )

    def places(self) -> dict[str, Address]:
        """Configuration key -> address, for each contract of a lender in use that is named here."""
        found = {}
        for name, entry in self:
            if isinstance(entry, LenderPolicy | RegistryPolicy) and entry.enabled:
                for key in ("address", "registry"):
                    if (address := getattr(entry, key, None)) is not None:
                        found[f"lenders.{name}.{key}"] = address
        return found


def build_lenders(
    policy: LendersPolicy, executor: Address, pools: PoolsOf, pool: Callable[[Address], Pool | None]
) -> tuple[Lender, ...]:
    """The lenders that are configured, in the order they are shown; own capital last.

    `pools` gives the known pools that hold a token, `pool` the one with an address: some lenders are pools.
    """
    lenders: list[Lender] = []
    if policy.aave_v2:
        lenders.append(AaveV2(policy.aave_v2.address, policy.aave_v2.registry))
    if policy.aave_v3:
        lenders.append(AaveV3(policy.aave_v3.address, policy.aave_v3.registry))
    if policy.spark:
        lenders.append(AaveV3(policy.spark.address, policy.spark.registry, LenderId.SPARK, "spark"))
    if policy.prime:
        lenders.append(AaveV3(policy.prime.address, policy.prime.registry, LenderId.PRIME, "prime"))
    if policy.balancer_v2:
        lenders.append(BalancerV2(policy.balancer_v2.address))
    if policy.maker:
        lenders.append(Maker(policy.maker.address, policy.maker.registry, policy.maker.stand_in))
    if policy.erc3156:
        lenders.append(Erc3156(policy.erc3156.address))
    if policy.morpho:
        lenders.append(Morpho(policy.morpho.address))
    lenders.append(UniswapV3(pools, frozenset(policy.uniswap_v3.dexes)))
    lenders.append(UniswapV2(pools, frozenset(policy.uniswap_v2.dexes)))
    lenders.append(FlashSwap(pool, frozenset(policy.flash_swap.dexes)))
    lenders.append(OwnCapital(executor, policy.own.limit))
    return tuple(lenders)
