"""Pools with exact integer swaps, the market's state at one block, kept by its logs, and snapshot files."""

from arbtui.market.families import FAMILIES, LOG_TOPICS, SWAP_TOPICS, read_calls, state_fields, with_answers
from arbtui.market.family import Family
from arbtui.market.logs import LogRefused
from arbtui.market.pool import NeedsMore, Pool, Stretch, Swap, SwapReverts
from arbtui.market.snapshot import (
    Counts,
    Problem,
    Snapshot,
    load_snapshot,
    write_snapshot,
    write_snapshot_file,
)
from arbtui.market.state import MarketState
from arbtui.market.tracker import Applied, NotConnected, Tracker
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.market.uniswap_v3 import UniswapV3Pool
from arbtui.market.uniswap_v3_state import bitmap_words

__all__ = [
    "FAMILIES",
    "LOG_TOPICS",
    "SWAP_TOPICS",
    "Applied",
    "Counts",
    "Family",
    "LogRefused",
    "MarketState",
    "NeedsMore",
    "NotConnected",
    "Pool",
    "Problem",
    "Snapshot",
    "Stretch",
    "Swap",
    "SwapReverts",
    "Tracker",
    "UniswapV2Pool",
    "UniswapV3Pool",
    "bitmap_words",
    "load_snapshot",
    "read_calls",
    "state_fields",
    "with_answers",
    "write_snapshot",
    "write_snapshot_file",
]
