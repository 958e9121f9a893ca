"""Many contract reads at one block in one request, through Multicall3's `aggregate3`.

Multicall3 is at the same address on every public chain (https://github.com/mds1/multicall3); on the local chain a
contract of ours with the same interface stands there. Its two shapes are coded here by hand: thousands of calls a
block go through them, and the general coder is ten times slower.
"""

from __future__ import annotations

from collections.abc import Sequence

from arbtui.abi import selector
from arbtui.chain.node import Node
from arbtui.chain.policy import MULTICALL3
from arbtui.domain import BlockRef, Call, CallResult
from arbtui.errors import MalformedAnswer
from arbtui.units import Address

_AGGREGATE3 = selector("aggregate3((address,bool,bytes)[])")
_WHAT = "Multicall3.aggregate3"
_WORD = 32
_ONE = (1).to_bytes(_WORD)
_DATA_AT = (3 * _WORD).to_bytes(_WORD)


def encode_aggregate3(calls: Sequence[Call]) -> bytes:
    """Calldata of aggregate3((address target, bool allowFailure, bytes callData)[]), failures allowed."""
    heads: list[bytes] = []
    tails: list[bytes] = []
    offset = _WORD * len(calls)
    for call in calls:
        size = len(call.data)
        tail = b"".join(
            (
                bytes.fromhex(call.target[2:]).rjust(_WORD, b"\0"),
                _ONE,
                _DATA_AT,
                size.to_bytes(_WORD),
                call.data,
                bytes(-size % _WORD),
            )
        )
        heads.append(offset.to_bytes(_WORD))
        tails.append(tail)
        offset += len(tail)
    return b"".join((_AGGREGATE3, _WORD.to_bytes(_WORD), len(calls).to_bytes(_WORD), *heads, *tails))


def decode_aggregate3(data: bytes, count: int) -> list[CallResult]:
    """The (bool success, bytes returnData)[] of `count` calls; raises MalformedAnswer for anything else."""
    end = len(data)

    def word(at: int) -> int:
        if at + _WORD > end:
            raise MalformedAnswer(f"{_WHAT}: {end} bytes that are no list of results")
        return int.from_bytes(data[at : at + _WORD])

    start = word(0)
    found = word(start)
    if found != count:
        raise MalformedAnswer(f"{_WHAT}: {found if found < 10**9 else 'too many'} results for {count} calls")
    first = start + _WORD
    out: list[CallResult] = []
    room = end
    for index in range(count):
        at = first + word(first + _WORD * index)
        success = word(at)
        body = at + word(at + _WORD)
        size = word(body)
        if success > 1 or body + _WORD + size > end:
            raise MalformedAnswer(f"{_WHAT}: result {index} is no (bool, bytes)")
        # Results that lie on top of each other would make of a small answer one that fills the memory.
        room -= size
        if room < 0:
            raise MalformedAnswer(f"{_WHAT}: results that are more than the answer holds")
        out.append(CallResult(success == 1, data[body + _WORD : body + _WORD + size]))
    return out


async def aggregate(
    node: Node, calls: Sequence[Call], block: BlockRef, multicall: Address = MULTICALL3
) -> list[CallResult]:
    """Results in the order of `calls`, all at `block`; a call that reverts is a CallResult without success.

    An answer that does not decode counts against the node that gave it, and the next one is asked.
    """
    if not calls:
        return []
    payload = encode_aggregate3(calls)

    async def ask(one: Node) -> list[CallResult]:
        answer = await one.call_at(multicall, payload, block)
        with one.strict("eth_call"):
            if not answer:
                raise MalformedAnswer(f"{_WHAT}: nothing is deployed at {multicall}; correct chain.multicall")
            return decode_aggregate3(answer, len(calls))

    return await node.one(ask)
