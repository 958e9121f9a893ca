"""Who moved a pool last, from the logs of each block."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from arbtui.abi import topic
from arbtui.domain import BlockRef, ForeignTrade, Log
from arbtui.units import Address

SWAPS = frozenset(
    {
        topic("Swap(address,uint256,uint256,uint256,uint256,address)"),
        topic("Swap(address,address,int256,int256,uint160,uint128,int24)"),
    }
)


class Moves:
    """The newest foreign swap on each pool; ours are told apart by their hashes."""

    def __init__(self) -> None:
        self._last: dict[Address, ForeignTrade] = {}

    def take(self, block: BlockRef, logs: Iterable[Log], ours: Collection[str]) -> None:
        for log in logs:
            if log.topics and log.topics[0] in SWAPS and log.tx_hash not in ours:
                self._last[log.address] = ForeignTrade(
                    block.number, block.hash, log.address, log.tx_hash, log.log_index
                )

    def last(self, pools: Collection[Address], after_block: int = -1) -> ForeignTrade | None:
        """The newest foreign swap on any of `pools` in a block past `after_block`."""
        found = [
            trade
            for pool in pools
            if (trade := self._last.get(pool)) is not None and trade.block_number > after_block
        ]
        return max(found, key=lambda trade: (trade.block_number, trade.log_index), default=None)
