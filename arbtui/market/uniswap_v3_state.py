"""How a Uniswap V3 pool's state comes in: read at a block, kept by its logs, or from a snapshot line.

Sources: v3-core's UniswapV3Pool (slot0, liquidity, tickBitmap, ticks; _updatePosition, _modifyPosition),
Tick.update, TickBitmap.flipTick, IUniswapV3PoolEvents; PancakeSwap V3's IPancakeV3PoolEvents.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter

from arbtui.abi import encode_call, selector, topic
from arbtui.domain import Call, CallResult, Log
from arbtui.errors import MalformedAnswer
from arbtui.market.family import Family
from arbtui.market.fields import BadField, Fields
from arbtui.market.logs import LogRefused, signed, topic_word, words_of
from arbtui.market.pool import NeedsMore, Pool
from arbtui.market.tick_math import MAX_SQRT_RATIO, MAX_TICK, MIN_SQRT_RATIO, MIN_TICK, sqrt_ratio_at_tick
from arbtui.market.uniswap_v3 import MAX_LIQUIDITY, MAX_TICK_SPACING, WINDOW_WORDS, UniswapV3Pool
from arbtui.units import Address, Ppm

_INITIALIZE = topic("Initialize(uint160,int24)")
_MINT = topic("Mint(address,address,int24,int24,uint128,uint256,uint256)")
_BURN = topic("Burn(address,int24,int24,uint128,uint256,uint256)")
#: Swap events by topic, with the words of their data. Forks may add words behind Uniswap's five.
_SWAPS = {
    topic("Swap(address,address,int256,int256,uint160,uint128,int24)"): 5,
    # PancakeSwap V3: protocolFeesToken0 and protocolFeesToken1 at the end.
    topic("Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)"): 7,
}
LOG_TOPICS = frozenset({_INITIALIZE, _MINT, _BURN, *_SWAPS})

_index = itemgetter(0)


def _word(tick: int, spacing: int) -> int:
    return tick // spacing >> 8


def _all_words(spacing: int) -> range:
    return range(_word(MIN_TICK, spacing), _word(MAX_TICK, spacing) + 1)


def bitmap_words(tick_spacing: int) -> int:
    """How many words the whole bitmap has: 6,932 at a spacing of 1, 694 at 10, 116 at 60, 36 at 200."""
    return len(_all_words(tick_spacing))


def _words_around(tick: int, spacing: int, reach: int | None) -> range:
    """Bitmap words within `reach` of the one that holds `tick`, cut to those that exist."""
    every = _all_words(spacing)
    if reach is None:
        return every
    # A price at the very bottom leaves the tick one below all words.
    centre = min(max(_word(tick, spacing), every[0]), every[-1])
    return range(max(centre - reach, every[0]), min(centre + reach, every[-1]) + 1)


def _window(words: range, spacing: int) -> tuple[int, int] | None:
    if words == _all_words(spacing):
        return None
    return words[0] * 256 * spacing, (words[-1] * 256 + 255) * spacing


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been read so far, and which words and ticks the open calls ask for, in that order.

    `ticks`: (liquidity_gross, liquidity_net) by index.
    """

    slot0: tuple[int, int] | None
    liquidity: int
    words: Mapping[int, int]
    ticks: Mapping[int, tuple[int, int]]
    asked_words: tuple[int, ...]
    asked_ticks: tuple[int, ...]


def _opening(pool: UniswapV3Pool) -> _Known:
    if pool.reach is not None and not pool.sqrt_price_x96:
        return _Known(None, 0, {}, {}, (), ())
    words = _words_around(pool.tick, pool.tick_spacing, pool.reach)
    ticks = tuple(index for index, _ in pool.ticks if _word(index, pool.tick_spacing) in words)
    return _Known(None, 0, {}, {}, tuple(words), ticks)


def _calls(pool: UniswapV3Pool, known: _Known) -> tuple[Call, ...]:
    name = f"{pool.dex} pool {pool.address}"
    calls = []
    if known.slot0 is None:
        calls.append(Call(pool.address, encode_call("slot0()"), f"{name} slot0()"))
        calls.append(Call(pool.address, encode_call("liquidity()"), f"{name} liquidity()"))
    # By hand: the whole bitmap is hundreds of calls, and the general coder takes 30 us for each.
    word_of, tick_of = selector("tickBitmap(int16)"), selector("ticks(int24)")
    calls += [
        Call(pool.address, word_of + word.to_bytes(32, signed=True), f"{name} tickBitmap({word})")
        for word in known.asked_words
    ]
    calls += [
        Call(pool.address, tick_of + tick.to_bytes(32, signed=True), f"{name} ticks({tick})")
        for tick in known.asked_ticks
    ]
    return tuple(calls)


def read_calls(pool: Pool) -> tuple[Call, ...]:
    """slot0(), liquidity(), the bitmap words that `reach` asks for, and ticks() for every tick known there.

    A windowed pool never read asks for the first two only: what else is needed follows from the answers.
    """
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101 - the registry pairs kinds with modules
    return _calls(pool, _opening(pool))


def with_answers(asked: Pool | NeedsMore, results: Sequence[CallResult]) -> Pool | NeedsMore:
    """The pool as the answers say, or NeedsMore where they show words or ticks that were not asked for.

    `asked` is the pool given to `read_calls`, or the NeedsMore of the step before; all steps at one block. Raises
    MalformedAnswer for a failed, short or impossible answer, and for answers that contradict each other.
    """
    if isinstance(asked, NeedsMore):
        pool, known, calls = asked.pool, asked.known, asked.calls
    else:
        pool, known, calls = asked, None, ()
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    if known is None:
        known = _opening(pool)
        calls = _calls(pool, known)
    assert isinstance(known, _Known)  # noqa: S101
    name = f"{pool.dex} pool {pool.address}"
    if len(results) != len(calls):
        raise MalformedAnswer(f"{name}: {len(results)} answers to {len(calls)} calls")
    answers = iter(zip(calls, results, strict=True))

    def words_read(count: int) -> list[int]:
        call, result = next(answers)
        if not result.success or len(result.data) < 32 * count:
            raise MalformedAnswer(f"{call.what}: no answer of {count} words; is it a Uniswap V3 pool?")
        return [int.from_bytes(result.data[i : i + 32]) for i in range(0, 32 * count, 32)]

    def tick_read() -> tuple[int, int]:
        gross, net = words_read(2)
        return gross, signed(net, 128)

    slot0, liquidity = known.slot0, known.liquidity
    try:
        if slot0 is None:
            price, tick_word = words_read(7)[:2]
            slot0 = (price, signed(tick_word, 24))
            liquidity = words_read(1)[0]
            if (price and not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO) or liquidity > MAX_LIQUIDITY:
                raise ValueError("a price or liquidity that no pool can have")
            if price:
                _check_price(price, slot0[1])
        words = {**known.words, **{word: words_read(1)[0] for word in known.asked_words}}
        ticks = {**known.ticks, **{tick: tick_read() for tick in known.asked_ticks}}
    except ValueError as error:
        raise MalformedAnswer(f"{name}: {error}") from error

    price, tick = slot0
    spacing = pool.tick_spacing
    if price == 0:
        return replace(pool, sqrt_price_x96=0, tick=0, liquidity=0, ticks=(), window=None, gross=())
    span = _words_around(tick, spacing, pool.reach)
    initialised = tuple((word * 256 + bit) * spacing for word in span for bit in _bits(words.get(word, 0)))
    more_words = tuple(word for word in span if word not in words)
    more_ticks = tuple(index for index in initialised if index not in ticks)
    if more_words or more_ticks:
        half = _Known(slot0, liquidity, words, ticks, more_words, more_ticks)
        return NeedsMore(_calls(pool, half), pool, half)
    nets = tuple((index, ticks[index][1]) for index in initialised)
    gross = tuple(ticks[index][0] for index in initialised)
    window = _window(span, spacing)
    try:
        _check_ticks(nets, gross, spacing, tick, liquidity, window)
    except ValueError as error:
        raise MalformedAnswer(f"{name}: {error}") from error
    return replace(
        pool, sqrt_price_x96=price, tick=tick, liquidity=liquidity, ticks=nets, window=window, gross=gross
    )


def _bits(word: int) -> Iterator[int]:
    """Positions of the set bits, lowest first."""
    while word:
        low = word & -word
        yield low.bit_length() - 1
        word ^= low


def unread(pool: Pool) -> Pool:
    """The pool with nothing known of its state; every swap on it reverts."""
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    return replace(pool, sqrt_price_x96=0, tick=0, liquidity=0, ticks=(), window=None, gross=())


def wants_reading(pool: Pool) -> bool:
    """Whether a windowed pool's price stands in the first or last word that was read, or outside: a further move
    would leave what is known. Never for a pool whose whole bitmap is known, nor at the ends of the price range.
    """
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    if pool.window is None:
        return False
    spacing, here = pool.tick_spacing, _word(pool.tick, pool.tick_spacing)
    first, last = (_word(edge, spacing) for edge in pool.window)
    every = _all_words(spacing)
    return (here <= first and first > every[0]) or (here >= last and last < every[-1])


def difference(kept: Pool, read: Pool) -> str:
    """What of `kept` is not as it was read; "" where all is. Ticks are compared where both pools know them."""
    assert isinstance(kept, UniswapV3Pool)  # noqa: S101
    assert isinstance(read, UniswapV3Pool)  # noqa: S101
    found = [
        f"{name} {getattr(kept, name)}, on the chain {getattr(read, name)}"
        for name in ("sqrt_price_x96", "tick", "liquidity")
        if getattr(kept, name) != getattr(read, name)
    ]
    low = max(pool.window[0] if pool.window else MIN_TICK for pool in (kept, read))
    high = min(pool.window[1] if pool.window else MAX_TICK for pool in (kept, read))
    ours, theirs = (_ticks_between(pool, low, high) for pool in (kept, read))
    if ours != theirs:
        gross_known = kept.gross is not None and read.gross is not None
        wrong = [
            index
            for index in sorted(ours.keys() | theirs.keys())
            if index not in ours
            or index not in theirs
            or ours[index][0] != theirs[index][0]
            or (gross_known and ours[index] != theirs[index])
        ]
        if wrong:
            more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            tick = wrong[0]
            one, other = (ticks.get(tick, "absent") for ticks in (ours, theirs))
            found.append(f"tick {tick}{more}: (net, gross) {one}, on the chain {other}")
    return "; ".join(found)


def _ticks_between(pool: UniswapV3Pool, low: int, high: int) -> dict[int, tuple[int, int | None]]:
    gross = pool.gross or (None,) * len(pool.ticks)
    return {
        index: (net, some)
        for (index, net), some in zip(pool.ticks, gross, strict=True)
        if low <= index <= high
    }


def apply_log(pool: Pool, log: Log) -> Pool:
    """The pool after one of its logs. Raises LogRefused where the log does not fit the pool as it is kept."""
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    name = log.topics[0]
    try:
        swap_words = _SWAPS.get(name)
        if swap_words is not None:
            return _swapped(pool, *words_of(log, "Swap", 3, swap_words)[2:5])
        if name == _MINT:
            _, amount, _, _ = words_of(log, "Mint", 4, 4)
            return _with_position(pool, _tick_of(log, 2), _tick_of(log, 3), amount, 1)
        if name == _BURN:
            amount, _, _ = words_of(log, "Burn", 4, 3)
            return _with_position(pool, _tick_of(log, 2), _tick_of(log, 3), amount, -1)
        if name == _INITIALIZE:
            price, tick = words_of(log, "Initialize", 1, 2)
            return _initialised(pool, price, signed(tick, 24))
    except ValueError as error:
        raise LogRefused(str(error), pool.address) from error
    raise LogRefused(f"an event {name[:66]} that is not one of its family", pool.address)


def _tick_of(log: Log, at: int) -> int:
    return signed(topic_word(log, at), 24)


def _initialised(pool: UniswapV3Pool, price: int, tick: int) -> UniswapV3Pool:
    if pool.sqrt_price_x96:
        raise ValueError("an Initialize of a pool that is initialised")
    _check_range(price, tick)
    return pool.at_price(price, tick, 0)


def _swapped(pool: UniswapV3Pool, price: int, liquidity: int, tick_word: int) -> UniswapV3Pool:
    """UniswapV3Pool.swap's event says price, liquidity and tick after it; the ticks between must agree."""
    tick = signed(tick_word, 24)
    if not pool.sqrt_price_x96:
        raise ValueError("a Swap in a pool that is not initialised")
    _check_range(price, tick)
    if liquidity > MAX_LIQUIDITY:
        raise ValueError("a Swap that leaves a liquidity beyond uint128")
    window = pool.window
    if window is None or (window[0] <= tick <= window[1] and window[0] <= pool.tick <= window[1]):
        expected = pool.liquidity
        if tick != pool.tick:
            start, end = sorted((pool.tick, tick))
            ticks = pool.ticks
            between = ticks[bisect_right(ticks, start, key=_index) : bisect_right(ticks, end, key=_index)]
            crossed = sum(net for _, net in between)
            expected += crossed if tick > pool.tick else -crossed
        if liquidity != expected:
            raise ValueError(
                f"a Swap that leaves a liquidity of {liquidity}, where the ticks kept give {expected}"
            )
    return pool.at_price(price, tick, liquidity)


def _check_range(price: int, tick: int) -> None:
    if not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO or not MIN_TICK - 1 <= tick <= MAX_TICK:
        raise ValueError("a price that no pool can have")
    _check_price(price, tick)


def _with_position(pool: UniswapV3Pool, low: int, high: int, amount: int, sign: int) -> UniswapV3Pool:
    """Tick.update on both ticks, and the liquidity in range, for `amount` more (`sign` 1) or less (-1)."""
    what = "Mint" if sign > 0 else "Burn"
    if not pool.sqrt_price_x96:
        raise ValueError(f"a {what} in a pool that is not initialised")
    if not MIN_TICK <= low < high <= MAX_TICK or low % pool.tick_spacing or high % pool.tick_spacing:
        raise ValueError(f"a {what} from tick {low} to {high}")
    if amount > MAX_LIQUIDITY:
        raise ValueError(f"a {what} beyond uint128")
    if not amount:
        # A burn of nothing is how fees are collected.
        return pool
    ticks = list(pool.ticks)
    gross = None if pool.gross is None else list(pool.gross)
    for index, change in ((low, sign * amount), (high, -sign * amount)):
        if pool.window is None or pool.window[0] <= index <= pool.window[1]:
            _update_tick(ticks, gross, index, change, sign * amount)
    liquidity = pool.liquidity
    if low <= pool.tick < high:
        liquidity += sign * amount
        if not 0 <= liquidity <= MAX_LIQUIDITY:
            raise ValueError(f"a {what} that leaves a liquidity of {liquidity}")
    return replace(
        pool, liquidity=liquidity, ticks=tuple(ticks), gross=None if gross is None else tuple(gross)
    )


def _update_tick(
    ticks: list[tuple[int, int]], gross: list[int] | None, index: int, net_change: int, gross_change: int
) -> None:
    at = bisect_left(ticks, index, key=_index)
    if at == len(ticks) or ticks[at][0] != index:
        if gross_change < 0:
            raise ValueError(f"a Burn at tick {index}, which is not initialised")
        ticks.insert(at, (index, net_change))
        if gross is not None:
            gross.insert(at, gross_change)
        return
    net = ticks[at][1] + net_change
    ticks[at] = (index, net)
    if gross is None:
        # A net that is not 0 proves that some liquidity still refers to the tick; one of 0 proves nothing.
        if gross_change < 0 and not net:
            raise ValueError(f"a Burn that may end tick {index}: its gross liquidity is not known")
        return
    gross[at] += gross_change
    if not abs(net) <= gross[at] <= MAX_LIQUIDITY:
        raise ValueError(f"a gross liquidity of {gross[at]} and a net of {net} at tick {index}")
    if not gross[at]:
        del ticks[at], gross[at]


def from_fields(
    fields: Fields, address: Address, dex: str, token0: Address, token1: Address, fee_ppm: Ppm
) -> Pool:
    """A pool from the family's own fields of a snapshot line, checked for what no pool's state can be.

    Beside those of the format: `window`, the one range of ticks that is known, and `liquidity_gross`, one for each
    of `ticks`. Raises BadField.
    """
    spacing = fields.integer("tick_spacing", 1, MAX_TICK_SPACING)
    price = fields.integer("sqrt_price_x96", MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1)
    tick = fields.integer("tick", MIN_TICK - 1, MAX_TICK)
    liquidity = fields.integer("liquidity", 0, MAX_LIQUIDITY)
    ticks = tuple(fields.pairs("ticks"))
    gross: tuple[int, ...] | None = None if ticks else ()
    if fields.has("liquidity_gross"):
        gross = fields.integers("liquidity_gross")
    window = None
    if fields.has("window"):
        edges = fields.pairs("window")
        if len(edges) != 1 or edges[0][0] > edges[0][1]:
            raise BadField("window is not one range")
        window = edges[0]
        if window[0] % (256 * spacing) or (window[1] + spacing) % (256 * spacing):
            raise BadField("window is not whole bitmap words")
    try:
        _check_price(price, tick)
        _check_ticks(ticks, gross, spacing, tick, liquidity, window)
    except ValueError as error:
        raise BadField(str(error)) from error
    reach = None if window is None else WINDOW_WORDS
    return UniswapV3Pool(
        address, dex, token0, token1, fee_ppm, spacing, price, tick, liquidity, ticks, window, gross, reach
    )


def _check_price(price: int, tick: int) -> None:
    # A swap down that stops on a tick leaves the price at that tick's ratio and the tick one below.
    low = sqrt_ratio_at_tick(min(max(tick, MIN_TICK), MAX_TICK))
    high = sqrt_ratio_at_tick(max(min(tick + 1, MAX_TICK), MIN_TICK))
    if not low <= price <= high:
        raise ValueError("sqrt_price_x96 does not lie in tick")


def _check_ticks(
    ticks: tuple[tuple[int, int], ...],
    gross: tuple[int, ...] | None,
    spacing: int,
    tick: int,
    liquidity: int,
    window: tuple[int, int] | None,
) -> None:
    """Raises ValueError where ticks are not sorted multiples of the spacing whose liquidity adds up."""
    low, high = window or (MIN_TICK, MAX_TICK)
    low, high = max(low, MIN_TICK), min(high, MAX_TICK)
    if gross is not None and len(gross) != len(ticks):
        raise ValueError("liquidity_gross does not go with ticks")
    for index, net in ticks:
        if not low <= index <= high:
            raise ValueError(f"ticks: index {index} is out of range")
        if index % spacing:
            raise ValueError(f"ticks: index {index} is not a multiple of tick_spacing {spacing}")
        if abs(net) > MAX_LIQUIDITY:
            raise ValueError(f"ticks: liquidity_net at {index} is out of range")
    if any(left[0] >= right[0] for left, right in pairwise(ticks)):
        raise ValueError("ticks are not sorted by index, or one is there twice")
    for (index, net), some in zip(ticks, gross or (), strict=gross is not None):
        if not max(abs(net), 1) <= some <= MAX_LIQUIDITY:
            raise ValueError(f"liquidity_gross at {index} is out of range")
    if window is not None:
        if window[0] <= tick <= window[1]:
            _check_within(ticks, tick, liquidity)
        return
    running = here = 0
    for index, net in ticks:
        running += net
        if not 0 <= running <= MAX_LIQUIDITY:
            raise ValueError(f"ticks: liquidity from {index} on is out of range")
        if index <= tick:
            here = running
    if here != liquidity:
        raise ValueError("liquidity differs from the sum of liquidity_net up to tick")
    if running:
        raise ValueError("liquidity_net does not sum to zero")


def _check_within(ticks: tuple[tuple[int, int], ...], tick: int, liquidity: int) -> None:
    """Within a window: the liquidity at the price, carried over the ticks both ways, is one that can be."""
    at = bisect_right(ticks, tick, key=_index)
    below, above = liquidity, liquidity
    for index, net in reversed(ticks[:at]):
        below -= net
        if not 0 <= below <= MAX_LIQUIDITY:
            raise ValueError(f"ticks: liquidity below {index} is out of range")
    for index, net in ticks[at:]:
        above += net
        if not 0 <= above <= MAX_LIQUIDITY:
            raise ValueError(f"ticks: liquidity from {index} on is out of range")


def state_fields(pool: Pool) -> dict[str, object]:
    """What a swap changes, as JSON: amounts are decimal strings."""
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    return {
        "sqrt_price_x96": str(pool.sqrt_price_x96),
        "tick": pool.tick,
        "liquidity": str(pool.liquidity),
    }


def own_fields(pool: Pool) -> dict[str, object] | None:
    """The family's own fields of a snapshot line, None for a pool without a price; see `from_fields`."""
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    if not pool.sqrt_price_x96:
        return None
    row: dict[str, object] = {
        "tick_spacing": pool.tick_spacing,
        **state_fields(pool),
        "ticks": [[index, str(net)] for index, net in pool.ticks],
    }
    if pool.gross is not None:
        row["liquidity_gross"] = [str(some) for some in pool.gross]
    if pool.window is not None:
        row["window"] = [list(pool.window)]
    return row


FAMILY = Family(
    read_calls=read_calls,
    with_answers=with_answers,
    from_fields=from_fields,
    own_fields=own_fields,
    state_fields=state_fields,
    log_topics=LOG_TOPICS,
    swap_topics=frozenset(_SWAPS),
    apply_log=apply_log,
    unread=unread,
    wants_reading=wants_reading,
    difference=difference,
)
