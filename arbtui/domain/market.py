from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from arbtui.domain.calls import BlockRef
from arbtui.units import Address, Ppm


class PoolKind(StrEnum):
    UNISWAP_V2 = "uniswap_v2"
    UNISWAP_V3 = "uniswap_v3"


@dataclass(frozen=True, slots=True)
class Token:
    """`symbol` is made safe when the token enters the model; two tokens may share one."""

    address: Address
    symbol: str
    decimals: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One swap of a path, without an amount."""

    pool: Address
    dex: str
    kind: PoolKind
    fee_ppm: Ppm
    token_in: Address
    token_out: Address

    @property
    def zero_for_one(self) -> bool:
        """token0 in, token1 out: tokens of a pool are sorted by address."""
        return int(self.token_in, 16) < int(self.token_out, 16)


@dataclass(frozen=True, slots=True)
class Path:
    """A closed cycle of hops: the last gives the token that the first takes."""

    hops: tuple[Hop, ...]

    @property
    def base(self) -> Address:
        return self.hops[0].token_in

    @property
    def pools(self) -> frozenset[Address]:
        return frozenset(hop.pool for hop in self.hops)

    @property
    def tokens(self) -> tuple[Address, ...]:
        return tuple(hop.token_in for hop in self.hops)

    @property
    def id(self) -> str:
        """Stable name of the directed cycle: the same in every run and block."""
        text = "|".join(f"{hop.pool}>{hop.token_out}" for hop in self.hops)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class HopAmount:
    """A hop with its exact amounts in base units of `hop.token_in` and `hop.token_out`.

    `impact_bps`: how far the hop's average price stands off the pool's price before it, fee left out.
    """

    hop: Hop
    amount_in: int
    amount_out: int
    impact_bps: int


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A path with an input that pays, at one block, before loan fee and gas."""

    path: Path
    token: Token
    amount_in: int
    amount_out: int
    hops: tuple[HopAmount, ...]
    block: BlockRef

    @property
    def gross_profit(self) -> int:
        """Base units of `token`."""
        return self.amount_out - self.amount_in

    @property
    def id(self) -> str:
        text = f"{self.path.id}|{self.block.hash}|{self.amount_in}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ForeignTrade:
    """Somebody else's swap that moved a pool under one of our tickets."""

    block_number: int
    block_hash: str
    pool: Address
    tx_hash: str
    log_index: int
