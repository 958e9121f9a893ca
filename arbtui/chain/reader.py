"""State and balances at one block hash, through Multicall3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arbtui.abi import encode_call
from arbtui.chain.multicall import aggregate
from arbtui.chain.node import Node
from arbtui.domain import NATIVE, BlockRef, Call, CallResult
from arbtui.errors import MalformedAnswer
from arbtui.market.families import read_calls, with_answers
from arbtui.market.pool import NeedsMore, Pool
from arbtui.units import Address

#: Calls in one request: an answer stays well under what public nodes allow.
CHUNK = 500
_MOST_ROUNDS = 4


async def read_pools(
    node: Node, pools: Mapping[Address, Pool], block: BlockRef, multicall: Address
) -> dict[Address, Pool]:
    """Every pool as it was at `block`. Raises MalformedAnswer naming the pool whose contract does not answer."""
    out: dict[Address, Pool] = dict(pools)
    asked: dict[Address, Pool | NeedsMore] = dict(pools)
    for _ in range(_MOST_ROUNDS):
        calls = {
            address: step.calls if isinstance(step, NeedsMore) else read_calls(step)
            for address, step in asked.items()
        }
        answers = await read(node, [call for some in calls.values() for call in some], block, multicall)
        position = 0
        further: dict[Address, Pool | NeedsMore] = {}
        for address, some in calls.items():
            step = with_answers(asked[address], answers[position : position + len(some)])
            position += len(some)
            if isinstance(step, NeedsMore):
                further[address] = step
            else:
                out[address] = step
        if not further:
            return out
        asked = further
    raise MalformedAnswer(f"pool {next(iter(asked))}: its state was not complete after {_MOST_ROUNDS} reads")


async def read(node: Node, calls: Sequence[Call], block: BlockRef, multicall: Address) -> list[CallResult]:
    """`aggregate` in chunks of CHUNK calls."""
    out: list[CallResult] = []
    for start in range(0, len(calls), CHUNK):
        out += await aggregate(node, calls[start : start + CHUNK], block, multicall)
    return out


async def read_balances(
    node: Node,
    accounts: Sequence[Address],
    tokens: Sequence[Address],
    block: BlockRef,
    multicall: Address,
) -> dict[tuple[Address, Address], int]:
    """(account, token) -> base units at `block`, the native coin (NATIVE, in wei) included."""
    keys = [(account, token) for account in accounts for token in (*tokens, NATIVE)]
    calls = [
        Call(multicall, encode_call("getEthBalance(address)", account), f"balance of {account}")
        if token == NATIVE
        else Call(token, encode_call("balanceOf(address)", account), f"{token}.balanceOf({account})")
        for account, token in keys
    ]
    answers = await read(node, calls, block, multicall)
    out = {}
    for key, call, answer in zip(keys, calls, answers, strict=True):
        if not answer.success or len(answer.data) != 32:
            raise MalformedAnswer(f"{call.what}: no balance came back")
        out[key] = int.from_bytes(answer.data, "big")
    return out
