"""The edge towards the node: strict JSON-RPC, blocks, multicall."""

from arbtui.chain.multicall import MULTICALL3, aggregate
from arbtui.chain.node import Node
from arbtui.chain.rpc import JsonRpc

__all__ = ["MULTICALL3", "JsonRpc", "Node", "aggregate"]
