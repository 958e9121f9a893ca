"""Pools with exact integer swaps, the market's state at one block, and snapshot files."""

from arbtui.market.families import FAMILIES, Family, read_calls, state_fields, with_answers
from arbtui.market.pool import NeedsMore, Pool, Stretch, Swap, SwapReverts
from arbtui.market.snapshot import Counts, Problem, Snapshot, load_snapshot, write_snapshot
from arbtui.market.state import MarketState
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.market.uniswap_v3 import UniswapV3Pool

__all__ = [
    "FAMILIES",
    "Counts",
    "Family",
    "MarketState",
    "NeedsMore",
    "Pool",
    "Problem",
    "Snapshot",
    "Stretch",
    "Swap",
    "SwapReverts",
    "UniswapV2Pool",
    "UniswapV3Pool",
    "load_snapshot",
    "read_calls",
    "state_fields",
    "with_answers",
    "write_snapshot",
]
