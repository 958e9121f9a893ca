from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from arbtui.domain.fields import AddressField


class WalletPolicy(BaseModel):
    """Who sends, the contract that trades, and where profit goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: AddressField
    executor: AddressField
    treasury: AddressField


class ReconciliationPolicy(BaseModel):
    """How the accounts' balances are followed beside the settlements."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: A block that has so many above it counts as final.
    depth_blocks: int = Field(default=5, ge=1, le=1_000)
    #: Whether money that came from nowhere stops sending, as money that went does.
    stop_on_gain: bool = True


class SearchPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Symbols or addresses; a cycle starts and ends in one of these.
    base_tokens: tuple[str, ...] = Field(min_length=1)
    max_hops: int = Field(default=2, ge=2, le=4)
    #: How many opportunities a block are quoted and simulated.
    top: int = Field(default=10, ge=1, le=200)
    #: How many opportunities a block get a row of their own in the store; the others are counted.
    record: int = Field(default=50, ge=1, le=5_000)


class WatchPolicy(BaseModel):
    """How the market is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Every so many blocks so many pools, in turn, are compared with what the node says of them.
    check_blocks: int = Field(default=16, ge=1, le=100_000)
    check_pools: int = Field(default=200, ge=1, le=100_000)
    #: Uniswap V3 pools of at least this tick spacing are read with all their ticks; the others in a window of bitmap
    #: words around the price, which follows it. At a spacing of 1 there are 6,932 words to ask for.
    whole_ticks_spacing: int = Field(default=10, ge=1, le=16_384)


class TicketPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The contract's minimum profit is at least this share of what is expected, and never under break-even.
    floor_share_bps: int = Field(default=5_000, ge=0, le=10_000)
    #: Life of a ticket that approves by itself, and of one that waits for a person.
    auto_ttl_blocks: int = Field(default=2, ge=1, le=100)
    manual_ttl_s: int = Field(default=60, ge=1, le=3_600)
    #: How many tickets one block may bring.
    per_block: int = Field(default=4, ge=1, le=50)
