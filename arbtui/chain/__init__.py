"""The edge towards the node: strict JSON-RPC, blocks, multicall, the state of the market."""

from arbtui.chain.local import is_local_chain
from arbtui.chain.multicall import aggregate
from arbtui.chain.node import Node
from arbtui.chain.policy import MULTICALL3, ChainPolicy
from arbtui.chain.reader import PoolsRead, read_balances, read_pools
from arbtui.chain.rpc import JsonRpc

__all__ = [
    "MULTICALL3",
    "ChainPolicy",
    "JsonRpc",
    "Node",
    "PoolsRead",
    "aggregate",
    "is_local_chain",
    "read_balances",
    "read_pools",
]
