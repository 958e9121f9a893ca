"""Pools from factories, tokens' names and decimals, and what stands behind each price: asked of a node in slices.

Every slice says how far it goes (a Cursor), so that a caller who keeps slice and cursor together can be killed at
any time and go on, and asks only for what is new the next time. Sources: UniswapV2Factory.allPairs / PairCreated,
UniswapV3Factory's PoolCreated; forks have the same.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from arbtui.abi import encode_call, selector, topic
from arbtui.chain.node import Node
from arbtui.chain.reader import CHUNK, Progress, read
from arbtui.chain.span import Span
from arbtui.domain import BlockRef, Call, CallResult, Log, PoolKind
from arbtui.errors import ArbtuiError, MalformedAnswer
from arbtui.market.discovered import Cursor, FoundPool, FoundToken, Holding
from arbtui.market.filters import MOST_DECIMALS, FactoryPolicy
from arbtui.market.uniswap_v2 import MAX_RESERVE
from arbtui.market.uniswap_v3 import MAX_LIQUIDITY, MAX_TICK_SPACING, UniswapV3Pool
from arbtui.text import safe_text
from arbtui.units import PPM, ZERO_ADDRESS, Address, Ppm, parse_address

#: Deepest reorganisation that is looked for block by block; a deeper one starts a factory over.
REORG_DEPTH = 64
PAIR_CREATED = topic("PairCreated(address,address,address,uint256)")
POOL_CREATED = topic("PoolCreated(address,address,uint24,int24,address)")
SYMBOL_LIMIT = 32

#: log index below block number in a place; no block has as many logs.
_PLACE_BITS = 20
_SYMBOL_BYTES = 256
_WORD = 32


@dataclass(frozen=True, slots=True)
class Tip:
    """The block that a look goes up to, and one REORG_DEPTH below it."""

    head: BlockRef
    anchor: BlockRef


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a factory's list. `cursor` is where the list stands once `found` is kept.

    With `since_place` all that was kept from that place on is void. `done` of `total` counts `unit`s.
    """

    found: tuple[FoundPool, ...]
    cursor: Cursor
    done: int
    total: int
    unit: str
    since_place: int | None = None
    note: str = ""


class _Fate(StrEnum):
    """What became of the block that a cursor names."""

    NEW = "new"
    SAME = "same"
    MOVED = "moved"
    GONE = "gone"
    AHEAD = "ahead"


async def read_tip(node: Node) -> Tip:
    """The newest block and its anchor."""
    head = await node.block()
    return Tip(head, await node.block(max(0, head.number - REORG_DEPTH)))


async def list_pools(
    node: Node,
    multicall: Address,
    factory: FactoryPolicy,
    cursor: Cursor,
    tip: Tip,
    stored: Callable[[int, int], Sequence[Address]],
    log_blocks: int,
) -> AsyncGenerator[Slice]:
    """What `factory` lists beyond `cursor`, up to the tip; at least one slice unless the node lags behind the cursor.

    `stored(first, last)` gives the kept addresses of those places, to find how far back a reorganisation went.
    Raises ArbtuiError as the node does; slices yielded until then stay good.
    """
    fate = await _fate(node, cursor, tip)
    if fate is _Fate.AHEAD:
        return
    if factory.by_index:
        async for part in _by_index(node, multicall, factory, cursor, tip, stored, fate):
            yield part
    else:
        async for part in _by_logs(node, multicall, factory, cursor, tip, fate, log_blocks):
            yield part


async def _fate(node: Node, cursor: Cursor, tip: Tip) -> _Fate:
    if cursor.block < 0:
        return _Fate.NEW
    if cursor.block > tip.head.number:
        return _Fate.AHEAD
    if not cursor.block_hash or await _hash_of(node, cursor.block, tip) == cursor.block_hash:
        return _Fate.SAME
    same_anchor = cursor.anchor >= 0 and await _hash_of(node, cursor.anchor, tip) == cursor.anchor_hash
    return _Fate.MOVED if same_anchor else _Fate.GONE


async def _hash_of(node: Node, number: int, tip: Tip) -> str:
    for block in (tip.head, tip.anchor):
        if block.number == number:
            return block.hash
    return (await node.block(number)).hash


_NOTES = {
    _Fate.MOVED: "the chain was reorganised since: the newest entries are read again",
    _Fate.GONE: f"the chain was reorganised deeper than {REORG_DEPTH} blocks: the list is read anew",
}


# ---- a numbered list


async def _by_index(
    node: Node,
    multicall: Address,
    factory: FactoryPolicy,
    cursor: Cursor,
    tip: Tip,
    stored: Callable[[int, int], Sequence[Address]],
    fate: _Fate,
) -> AsyncIterator[Slice]:
    name = f"{factory.dex} factory {factory.address}"
    length_call = Call(factory.address, encode_call("allPairsLength()"), f"{name} allPairsLength()")
    (answer,) = await read(node, [length_call], tip.head, multicall)
    if not answer.success or len(answer.data) != _WORD:
        raise MalformedAnswer(f"{length_call.what}: no number came back; is it a Uniswap V2 factory?")
    length = int.from_bytes(answer.data)
    start, since, note = cursor.next_index, None, _NOTES.get(fate, "")
    if fate is _Fate.GONE:
        start = since = 0
    elif fate is _Fate.MOVED or length < start:
        start = since = await _first_difference(node, multicall, factory, start, length, tip.head, stored)
    here = Cursor(0, tip.head.number, tip.head.hash, tip.anchor.number, tip.anchor.hash)
    while True:
        end = min(start + CHUNK, length)
        found = await _numbered(node, multicall, factory, start, end, tip.head)
        yield Slice(tuple(found), replace(here, next_index=end), end, length, "pairs", since, note)
        start, since, note = end, None, ""
        if start >= length:
            return


async def _numbers(
    node: Node, multicall: Address, factory: FactoryPolicy, first: int, last: int, block: BlockRef
) -> list[Address]:
    calls = [
        Call(factory.address, encode_call("allPairs(uint256)", i), f"{factory.dex} allPairs({i})")
        for i in range(first, last)
    ]
    out = []
    for call, answer in zip(calls, await read(node, calls, block, multicall), strict=True):
        found = _address_in(answer)
        if found is None:
            raise MalformedAnswer(f"{call.what}: no address came back from {factory.address}")
        out.append(found)
    return out


async def _numbered(
    node: Node, multicall: Address, factory: FactoryPolicy, first: int, last: int, block: BlockRef
) -> list[FoundPool]:
    addresses = await _numbers(node, multicall, factory, first, last, block)
    claims = [
        FoundPool(
            factory.address,
            first + i,
            address,
            factory.kind,
            ZERO_ADDRESS,
            ZERO_ADDRESS,
            None,
            0,
            block.number,
        )
        for i, address in enumerate(addresses)
    ]
    return await _verified(node, multicall, claims, block, told=False)


async def _first_difference(
    node: Node,
    multicall: Address,
    factory: FactoryPolicy,
    known: int,
    length: int,
    block: BlockRef,
    stored: Callable[[int, int], Sequence[Address]],
) -> int:
    """The first number at which the kept list is not the chain's; a whole chunk that agrees ends the look back."""
    last = min(known, length)
    differs = last
    while last > 0:
        first = max(0, last - CHUNK)
        here = await _numbers(node, multicall, factory, first, last, block)
        kept = list(stored(first, last))
        if kept == here:
            break
        differs = first + next(
            (i for i, (a, b) in enumerate(zip(kept, here, strict=False)) if a != b), min(len(kept), len(here))
        )
        last = first
    return differs


# ---- logs


async def _by_logs(
    node: Node,
    multicall: Address,
    factory: FactoryPolicy,
    cursor: Cursor,
    tip: Tip,
    fate: _Fate,
    log_blocks: int,
) -> AsyncIterator[Slice]:
    head, anchor = tip.head.number, tip.anchor.number
    first, since, note = max(cursor.block + 1, factory.from_block), None, _NOTES.get(fate, "")
    if fate is _Fate.MOVED:
        first = max(factory.from_block, cursor.anchor + 1)
        since = first << _PLACE_BITS
    elif fate is _Fate.GONE:
        first, since = factory.from_block, 0
    # Some stretches of a chain are dense and others empty: more is tried again soon.
    span = Span(log_blocks, again_after=6)
    event = PAIR_CREATED if factory.kind is PoolKind.UNISWAP_V2 else POOL_CREATED
    began = factory.from_block
    while first <= head:
        last = min(first + span.size - 1, head)
        try:
            logs = await node.logs_of(factory.address, event, first, last)
        except ArbtuiError as error:
            span.refused(last - first + 1, error)
            continue
        span.took(last - first + 1)
        if last == head and (await node.block(head)).hash != tip.head.hash:
            # The logs may be of either branch. What lies below the anchor is good; the rest waits for the next look.
            last = anchor
            logs = tuple(log for log in logs if log.block_number <= last)
            note = "the chain was reorganised meanwhile: its newest blocks are left for the next look"
            if last < first:
                return
        claims = [_claim(factory, log) for log in logs]
        found = await _verified(node, multicall, claims, tip.head, told=True)
        # A block that deep is not replaced any more, and its hash need not be known.
        block_hash = "" if last <= anchor else await _hash_of(node, last, tip)
        here = Cursor(0, last, block_hash, anchor, tip.anchor.hash)
        done, total = last - began + 1, max(1, head - began + 1)
        yield Slice(tuple(found), here, done, total, "blocks", since, note)
        if last == anchor != head and note.startswith("the chain was reorganised meanwhile"):
            return
        first, since, note = last + 1, None, ""


def _claim(factory: FactoryPolicy, log: Log) -> FoundPool:
    """What an event says of a pool. Raises MalformedAnswer for a log that is no such event."""
    v3 = factory.kind is PoolKind.UNISWAP_V3
    if len(log.topics) != (4 if v3 else 3) or len(log.data) != 2 * _WORD:
        raise MalformedAnswer(
            f"{factory.dex} factory {factory.address}: a log of block {log.block_number} is not its event; "
            "correct kind or address of the factory"
        )
    token0, token1 = (_as_address(int(item, 16)) for item in log.topics[1:3])
    words = [int.from_bytes(log.data[i : i + _WORD]) for i in (0, _WORD)]
    pool = _as_address(words[1] if v3 else words[0])
    spacing = _signed(words[0], 24) if v3 else 0
    return FoundPool(
        factory.address,
        log.block_number << _PLACE_BITS | log.log_index,
        pool or ZERO_ADDRESS,
        factory.kind,
        token0 or ZERO_ADDRESS,
        token1 or ZERO_ADDRESS,
        int(log.topics[3], 16) if v3 else None,
        spacing,
        log.block_number,
    )


# ---- what a pool says of itself

_IMMUTABLES = {
    PoolKind.UNISWAP_V2: ("factory()", "token0()", "token1()"),
    PoolKind.UNISWAP_V3: ("factory()", "token0()", "token1()", "fee()", "tickSpacing()"),
}


async def _verified(
    node: Node, multicall: Address, claims: Sequence[FoundPool], block: BlockRef, *, told: bool
) -> list[FoundPool]:
    """The claims with what the pools say themselves, or the fault that was found; `told`: an event named the tokens."""
    names = [_IMMUTABLES[claim.kind] if int(claim.address, 16) else () for claim in claims]
    calls = [
        Call(claim.address, selector(name), f"{claim.address} {name}")
        for claim, some in zip(claims, names, strict=True)
        for name in some
    ]
    answers = iter(await read(node, calls, block, multicall, patient=True))
    return [
        _judged(claim, [next(answers) for _ in some], told) for claim, some in zip(claims, names, strict=True)
    ]


def _judged(claim: FoundPool, answers: Sequence[CallResult], told: bool) -> FoundPool:
    if not answers:
        return replace(claim, fault="the zero address")
    said = [_address_in(answer) for answer in answers[:3]]
    factory, token0, token1 = said
    if factory is None or token0 is None or token1 is None:
        return replace(claim, fault="no pool: factory(), token0() or token1() gives no address")
    fault = ""
    if factory != claim.factory:
        fault = f"names another factory: {factory}"
    elif told and (token0, token1) != (claim.token0, claim.token1):
        fault = "its tokens are not those the factory told"
    elif token0 == token1:
        fault = "a token paired with itself"
    elif int(token0, 16) > int(token1, 16):
        fault = "its tokens are not in the order of their addresses"
    elif not int(token0, 16):
        fault = "the zero address as a token"
    elif claim.kind is PoolKind.UNISWAP_V3:
        fault = _v3_fault(claim, answers[3:])
    # What does not fit the columns of a pool is not kept: the fault says enough.
    fee = claim.fee_ppm if claim.fee_ppm is not None and claim.fee_ppm < PPM else None
    spacing = claim.tick_spacing if 0 <= claim.tick_spacing <= MAX_TICK_SPACING else 0
    return replace(claim, token0=token0, token1=token1, fee_ppm=fee, tick_spacing=spacing, fault=fault)


def _v3_fault(claim: FoundPool, answers: Sequence[CallResult]) -> str:
    if any(not answer.success or len(answer.data) != _WORD for answer in answers):
        return "no pool: fee() or tickSpacing() gives no number"
    fee, spacing = int.from_bytes(answers[0].data), _signed(int.from_bytes(answers[1].data), 24)
    if (fee, spacing) != (claim.fee_ppm, claim.tick_spacing):
        return "its fee or tick spacing is not what the factory told"
    if fee >= PPM or not 1 <= spacing <= MAX_TICK_SPACING:
        return f"fee {fee} ppm, tick spacing {spacing}: no pool can have these"
    return ""


# ---- tokens


async def read_tokens(
    node: Node,
    multicall: Address,
    addresses: Sequence[Address],
    block: BlockRef,
    progress: Progress | None = None,
) -> AsyncIterator[list[FoundToken]]:
    """symbol() and decimals() of each, some at a time; a token that answers oddly has a fault, never an error."""
    for start in range(0, len(addresses), CHUNK):
        some = addresses[start : start + CHUNK]
        calls = [
            Call(token, selector(name), f"{token} {name}")
            for token in some
            for name in ("decimals()", "symbol()")
        ]
        answers = await read(node, calls, block, multicall, patient=True)
        yield [_token(token, answers[2 * i], answers[2 * i + 1]) for i, token in enumerate(some)]
        if progress is not None:
            progress(start + len(some), len(addresses))


def _token(address: Address, decimals: CallResult, symbol: CallResult) -> FoundToken:
    name = symbol_in(symbol.data) if symbol.success else ""
    if not decimals.success or len(decimals.data) < _WORD:
        return FoundToken(address, name, None, "decimals() gives no number")
    count = int.from_bytes(decimals.data[:_WORD])
    if count > MOST_DECIMALS:
        shown = str(count) if count < 10**6 else "a million or more"
        return FoundToken(address, name, None, f"{shown} decimals, more than {MOST_DECIMALS}")
    return FoundToken(address, name, count)


def symbol_in(data: bytes) -> str:
    """A symbol answered as a string or, as older tokens do, as bytes32; made safe, cut to SYMBOL_LIMIT; "" for none."""
    if len(data) == _WORD:
        raw = data.partition(b"\0")[0]
    elif len(data) >= 2 * _WORD and int.from_bytes(data[:_WORD]) == _WORD:
        size = int.from_bytes(data[_WORD : 2 * _WORD])
        raw = data[2 * _WORD : 2 * _WORD + min(size, _SYMBOL_BYTES)]
    else:
        return ""
    text = raw.decode("utf-8", "replace").strip(" \0")
    return safe_text(text, SYMBOL_LIMIT)


# ---- what stands behind a price

#: Pools whose holdings are read, and handed over, at a time.
_HOLDINGS_AT_ONCE = 2_000


async def read_holdings(
    node: Node,
    multicall: Address,
    pools: Sequence[FoundPool],
    block: BlockRef,
    progress: Progress | None = None,
) -> AsyncIterator[dict[Address, Holding]]:
    """Reserves of each pool, some pools at a time. V3: virtual reserves, of which no more is held than the pool has.

    Anybody can make the virtual reserves of a V3 pool vast with next to nothing, by a position one tick wide.
    """
    for start in range(0, len(pools), _HOLDINGS_AT_ONCE):
        some = pools[start : start + _HOLDINGS_AT_ONCE]
        asked = [_holding_calls(pool) for pool in some]
        answers = iter(
            await read(node, [c for calls in asked for c in calls], block, multicall, patient=True)
        )
        yield {
            pool.address: _holding(pool, [next(answers) for _ in calls], block.number)
            for pool, calls in zip(some, asked, strict=True)
        }
        if progress is not None:
            progress(start + len(some), len(pools))


def _holding_calls(pool: FoundPool) -> list[Call]:
    if pool.kind is PoolKind.UNISWAP_V2:
        return [Call(pool.address, selector("getReserves()"), f"{pool.address} getReserves()")]
    balance = encode_call("balanceOf(address)", pool.address)
    return [
        Call(pool.address, selector("slot0()"), f"{pool.address} slot0()"),
        Call(pool.address, selector("liquidity()"), f"{pool.address} liquidity()"),
        Call(pool.token0, balance, f"{pool.token0}.balanceOf({pool.address})"),
        Call(pool.token1, balance, f"{pool.token1}.balanceOf({pool.address})"),
    ]


def _holding(pool: FoundPool, answers: Sequence[CallResult], block: int) -> Holding:
    if pool.kind is PoolKind.UNISWAP_V2:
        data = answers[0].data
        if not answers[0].success or len(data) < 2 * _WORD:
            return Holding(0, 0, 0, 0, block, "getReserves() gives no reserves")
        one, other = int.from_bytes(data[:_WORD]), int.from_bytes(data[_WORD : 2 * _WORD])
        if max(one, other) > MAX_RESERVE:
            return Holding(0, 0, 0, 0, block, "getReserves() gives a reserve beyond uint112")
        return Holding(one, other, one, other, block)
    if any(not answer.success or len(answer.data) < _WORD for answer in answers):
        return Holding(0, 0, 0, 0, block, "slot0(), liquidity() or a token's balanceOf() gives no number")
    price, liquidity, have0, have1 = (int.from_bytes(answer.data[:_WORD]) for answer in answers)
    if liquidity > MAX_LIQUIDITY or price >> 160:
        return Holding(0, 0, 0, 0, block, "a price or liquidity that no pool can have")
    state = replace(
        UniswapV3Pool.unread(
            pool.address, "", pool.token0, pool.token1, Ppm(pool.fee_ppm or 0), max(1, pool.tick_spacing)
        ),
        sqrt_price_x96=price,
        liquidity=liquidity,
    )
    one, other = state.virtual_reserves(pool.token0)
    return Holding(one, other, min(one, have0), min(other, have1), block)


# ---- words


def _as_address(word: int) -> Address | None:
    return None if word >> 160 else parse_address("0x" + word.to_bytes(20).hex())


def _address_in(answer: CallResult) -> Address | None:
    if not answer.success or len(answer.data) != _WORD:
        return None
    return _as_address(int.from_bytes(answer.data))


def _signed(word: int, bits: int) -> int:
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word
