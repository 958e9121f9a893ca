"""Many contract reads at one block in one request, through Multicall3's `aggregate3`.

Multicall3 is at the same address on every public chain (https://github.com/mds1/multicall3); on the local chain a
contract of ours with the same interface stands there.
"""

from __future__ import annotations

from collections.abc import Sequence

from arbtui.abi import decode, encode_call
from arbtui.chain.node import Node
from arbtui.chain.policy import MULTICALL3
from arbtui.domain import BlockRef, Call, CallResult
from arbtui.errors import MalformedAnswer
from arbtui.units import Address

_AGGREGATE3 = "aggregate3((address,bool,bytes)[])"


async def aggregate(
    node: Node, calls: Sequence[Call], block: BlockRef, multicall: Address = MULTICALL3
) -> list[CallResult]:
    """Results in the order of `calls`, all at `block`; a call that reverts is a CallResult without success."""
    if not calls:
        return []
    packed = encode_call(_AGGREGATE3, [(call.target, True, call.data) for call in calls])
    answer = await node.call_at(multicall, packed, block)
    (rows,) = decode(["(bool,bytes)[]"], answer, "Multicall3.aggregate3")
    if len(rows) != len(calls):
        raise MalformedAnswer(f"Multicall3.aggregate3: {len(rows)} results for {len(calls)} calls")
    return [CallResult(bool(ok), bytes(out)) for ok, out in rows]
