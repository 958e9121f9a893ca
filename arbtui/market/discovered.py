"""What discovery finds: pools as factories list them, tokens as they call themselves, what stands behind a price."""

from __future__ import annotations

from dataclasses import dataclass

from arbtui.domain import PoolKind
from arbtui.market.pool import Pool
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.market.uniswap_v3 import UniswapV3Pool
from arbtui.units import Address, Ppm


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a factory has been asked: up to `next_index` of a numbered list, up to `block` (-1: never asked).

    `block_hash` is empty where the block is too deep for a reorganisation. `anchor` is a block 64 below, with its
    hash: if that one is still there, no reorganisation went deeper.
    """

    next_index: int = 0
    block: int = -1
    block_hash: str = ""
    anchor: int = -1
    anchor_hash: str = ""


@dataclass(frozen=True, slots=True)
class FoundPool:
    """A pool as its factory lists it. `fee_ppm` is None for a V2 fork (the configuration knows it).

    `place` orders a factory's list; `fault` is what is wrong with the pool itself, empty where nothing is.
    """

    factory: Address
    place: int
    address: Address
    kind: PoolKind
    token0: Address
    token1: Address
    fee_ppm: int | None
    tick_spacing: int
    block: int
    fault: str = ""

    def unread(self, dex: str, fork_fee_ppm: int | None) -> Pool:
        """For `read_pools`; name and fee of a V2 fork are the configuration's."""
        fee = Ppm(self.fee_ppm if self.fee_ppm is not None else fork_fee_ppm or 0)
        if self.kind is PoolKind.UNISWAP_V3:
            return UniswapV3Pool.unread(self.address, dex, self.token0, self.token1, fee, self.tick_spacing)
        return UniswapV2Pool(self.address, dex, self.token0, self.token1, fee, 0, 0)


@dataclass(frozen=True, slots=True)
class FoundToken:
    """What a token's contract said. `symbol` is safe to show; `fault` says why a token cannot be used."""

    address: Address
    symbol: str
    decimals: int | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """What stands behind a pool's price at `block`, in base units.

    `reserve…` make the price (virtual ones in V3); `held…` is never more than the pool really has.
    `fault` says why nothing could be read.
    """

    reserve0: int
    reserve1: int
    held0: int
    held1: int
    block: int
    fault: str = ""
