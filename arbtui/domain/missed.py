from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.domain.market import ForeignTrade
from arbtui.units import Address, Wei


class ClosedBy(StrEnum):
    """Who ended an opportunity. NOBODY: no swap touched its pools; liquidity or the price of gas moved."""

    FOREIGN = "foreign"
    OURS = "ours"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Closing:
    """How an opportunity that was still open ended.

    `last_block` is the last block on which it paid, `closed_block` the first on which it did not; `opportunity_id` is
    that of its newest row: of `last_block`, or of the block of its ticket while that waited. `trade` is the first swap
    on a pool of its path after `last_block`; `tx_index`, `sender` and `tip_per_gas` (wei above the block's base fee)
    are its transaction's, None where the node did not tell.
    """

    opportunity_id: str
    path_id: str
    first_block: int
    last_block: int
    closed_block: int
    net_wei: int
    by: ClosedBy
    trade: ForeignTrade | None = None
    tx_index: int | None = None
    sender: Address | None = None
    tip_per_gas: Wei | None = None
