"""The edge towards the nodes: strict JSON-RPC, heads as steps, multicall, the state of the market."""

from arbtui.chain.codec import LogFilter
from arbtui.chain.feed import BlockLogs, HeadFeed, Reset, Step
from arbtui.chain.local import is_local_chain
from arbtui.chain.multicall import aggregate
from arbtui.chain.node import Agreed, Node
from arbtui.chain.nodes import NodeHealth, Nodes, NodeState, open_nodes
from arbtui.chain.policy import MULTICALL3, ChainPolicy
from arbtui.chain.presets import Preset, preset, preset_of_chain, presets
from arbtui.chain.reader import PoolsRead, read_balances, read_pools
from arbtui.chain.rpc import JsonRpc
from arbtui.chain.stream import IpcRpc, WsRpc

__all__ = [
    "MULTICALL3",
    "Agreed",
    "BlockLogs",
    "ChainPolicy",
    "HeadFeed",
    "IpcRpc",
    "JsonRpc",
    "LogFilter",
    "Node",
    "NodeHealth",
    "NodeState",
    "Nodes",
    "PoolsRead",
    "Preset",
    "Reset",
    "Step",
    "WsRpc",
    "aggregate",
    "is_local_chain",
    "open_nodes",
    "preset",
    "preset_of_chain",
    "presets",
    "read_balances",
    "read_pools",
]
