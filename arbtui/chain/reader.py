"""State and balances at one block hash, through Multicall3, in chunks whose size the node decides."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arbtui.abi import encode_call
from arbtui.chain.multicall import aggregate
from arbtui.chain.node import Node
from arbtui.chain.span import Span, too_much
from arbtui.domain import NATIVE, BlockRef, Call, CallResult
from arbtui.errors import ArbtuiError, MalformedAnswer, NodeUnreachable
from arbtui.market.families import read_calls, with_answers
from arbtui.market.pool import NeedsMore, Pool
from arbtui.units import Address

#: Calls in one request: an answer stays well under what public nodes allow.
CHUNK = 500
#: Requests on their way at once.
LANES = 4
_MOST_ROUNDS = 4
_UNANSWERED = CallResult(False, b"")

Progress = Callable[[int, int], None]
"""Told (done, of how many) after each answer."""


@dataclass(frozen=True, slots=True)
class PoolsRead:
    """`pools`: those whose contract answered, at the block asked for. `failed`: the others, with the reason."""

    pools: dict[Address, Pool]
    failed: dict[Address, str]


async def read_pools(
    node: Node,
    pools: Mapping[Address, Pool],
    block: BlockRef,
    multicall: Address,
    *,
    strict: bool = False,
    lanes: int = LANES,
    progress: Progress | None = None,
) -> PoolsRead:
    """Every pool as it was at `block`; one that does not answer as its family must is in `failed`.

    With `strict` that raises MalformedAnswer naming the pool instead. `progress` counts calls of a round: a family
    may need a second round where the first shows what else there is to ask.
    """
    # The pools' order is the caller's: what is equal is decided by it further on.
    done: dict[Address, Pool] = {}
    failed: dict[Address, str] = {}
    asked: dict[Address, Pool | NeedsMore] = dict(pools)
    for _ in range(_MOST_ROUNDS):
        calls = {
            address: step.calls if isinstance(step, NeedsMore) else read_calls(step)
            for address, step in asked.items()
        }
        flat = [call for some in calls.values() for call in some]
        answers = await read(node, flat, block, multicall, lanes=lanes, progress=progress, patient=not strict)
        position = 0
        further: dict[Address, Pool | NeedsMore] = {}
        for address, some in calls.items():
            mine = answers[position : position + len(some)]
            position += len(some)
            try:
                step = with_answers(asked[address], mine)
            except MalformedAnswer as error:
                if strict:
                    raise
                failed[address] = str(error)
                continue
            if isinstance(step, NeedsMore):
                further[address] = step
            else:
                done[address] = step
        asked = further
        if not asked:
            break
    for address in asked:
        reason = f"pool {address}: its state was not complete after {_MOST_ROUNDS} reads"
        if strict:
            raise MalformedAnswer(reason)
        failed[address] = reason
    return PoolsRead({address: done[address] for address in pools if address in done}, failed)


async def read(
    node: Node,
    calls: Sequence[Call],
    block: BlockRef,
    multicall: Address,
    *,
    lanes: int = LANES,
    progress: Progress | None = None,
    patient: bool = False,
) -> list[CallResult]:
    """`aggregate` in chunks of at most CHUNK calls, `lanes` of them at once; results in the order of `calls`.

    A chunk the node refuses as too large, too slow or out of gas is asked again in halves; a single call that is
    still refused is a result without success. With `patient`, calls that failed without a word are asked again
    apart from the others: one that burns all the gas leaves too little for those that follow it in its chunk.
    """
    out = await _read(node, calls, block, multicall, Span(CHUNK), lanes, progress)
    silent = [i for i, result in enumerate(out) if not result.success and not result.data] if patient else []
    if silent:
        # Backwards: what was starved now stands before what starved it.
        silent.reverse()
        again = await _read(node, [calls[i] for i in silent], block, multicall, Span(CHUNK), lanes, None)
        saved = {i: result for i, result in zip(silent, again, strict=True) if result.success}
        left = [i for i in silent if i not in saved]
        if saved and left:
            alone = await _read(node, [calls[i] for i in left], block, multicall, Span(1), lanes, None)
            saved |= dict(zip(left, alone, strict=True))
        for i, result in saved.items():
            out[i] = result
    return out


async def _read(
    node: Node,
    calls: Sequence[Call],
    block: BlockRef,
    multicall: Address,
    span: Span,
    lanes: int,
    progress: Progress | None,
) -> list[CallResult]:
    out: list[CallResult] = [_UNANSWERED] * len(calls)
    again: deque[range] = deque()
    position = done = 0

    def next_part() -> range | None:
        nonlocal position
        if again:
            return again.popleft()
        if position >= len(calls):
            return None
        part = range(position, min(position + span.size, len(calls)))
        position = part.stop
        return part

    async def lane() -> None:
        nonlocal done
        while (part := next_part()) is not None:
            try:
                answers = await aggregate(node, calls[part.start : part.stop], block, multicall)
            except ArbtuiError as error:
                alone = len(part) == 1 and not isinstance(error, NodeUnreachable)
                if alone and too_much(error):
                    answers = [_UNANSWERED]
                else:
                    span.refused(len(part), error)
                    middle = part.start + len(part) // 2
                    again.extend((range(part.start, middle), range(middle, part.stop)))
                    continue
            else:
                span.took(len(part))
            out[part.start : part.stop] = answers
            done += len(part)
            if progress is not None:
                progress(done, len(calls))

    await _together([lane() for _ in range(min(lanes, -(-len(calls) // span.size)))])
    return out


async def _together(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All at once; the first to fail ends the others, and its own error is raised."""
    tasks = [asyncio.create_task(item) for item in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
