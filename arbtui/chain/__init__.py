"""The edge towards the node: strict JSON-RPC, blocks, multicall, the state of the market."""

from arbtui.chain.local import is_local_chain
from arbtui.chain.multicall import aggregate
from arbtui.chain.node import Node
from arbtui.chain.policy import MULTICALL3, ChainPolicy
from arbtui.chain.presets import Preset, preset, preset_of_chain, presets
from arbtui.chain.reader import read_balances, read_pools
from arbtui.chain.rpc import JsonRpc

__all__ = [
    "MULTICALL3",
    "ChainPolicy",
    "JsonRpc",
    "Node",
    "Preset",
    "aggregate",
    "is_local_chain",
    "preset",
    "preset_of_chain",
    "presets",
    "read_balances",
    "read_pools",
]
