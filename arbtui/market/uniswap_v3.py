"""Uniswap V3 pools: concentrated liquidity, swapped exactly as UniswapV3Pool.swap does.

Sources: v3-core's UniswapV3Pool.swap, SwapMath.computeSwapStep, TickBitmap.nextInitializedTickWithinOneWord;
whitepaper sections 6.2 and 6.3.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from typing import ClassVar, NamedTuple

from arbtui.abi import encode_call
from arbtui.domain import Call, CallResult, PoolKind
from arbtui.errors import MalformedAnswer
from arbtui.market.fields import BadField, Fields
from arbtui.market.pool import NeedsMore, Pool, Stretch, Swap, SwapReverts, impact_bps, wrong_token
from arbtui.market.tick_math import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    PriceError,
    amount0_delta_down,
    amount0_delta_up,
    amount1_delta_down,
    amount1_delta_up,
    next_sqrt_price_from_input,
    next_sqrt_price_from_output,
    sqrt_ratio_at_tick,
    tick_at_sqrt_ratio,
)
from arbtui.units import PPM, Address, Ppm, mul_div_up

MAX_LIQUIDITY = 2**128 - 1
MAX_TICK_SPACING = 16_383
#: Bitmap words read on each side of the one that holds the current tick.
WINDOW_WORDS = 2
BEYOND_WINDOW = "beyond the ticks that were read"

_index = itemgetter(0)


class _End(NamedTuple):
    """Where a swap ends. `tick` is None where it must still be found from the price."""

    sqrt_price_x96: int
    tick: int | None
    liquidity: int
    amount_in: int
    amount_out: int
    fee: int
    remaining: int


@dataclass(frozen=True, slots=True)
class UniswapV3Pool:
    """A pool's state: Q64.96 sqrt price, current tick and liquidity, and `ticks` sorted as (index, liquidity_net).

    `window` is the inclusive range of ticks, whole bitmap words, that was read; None where all ticks are known.
    A swap that would leave it reverts with `BEYOND_WINDOW`. A sqrt price of 0 is a pool not initialised or not read.
    """

    kind: ClassVar[PoolKind] = PoolKind.UNISWAP_V3

    address: Address
    dex: str
    token0: Address
    token1: Address
    fee_ppm: Ppm
    tick_spacing: int
    sqrt_price_x96: int
    tick: int
    liquidity: int
    ticks: tuple[tuple[int, int], ...]
    window: tuple[int, int] | None = None

    @classmethod
    def unread(
        cls, address: Address, dex: str, token0: Address, token1: Address, fee_ppm: Ppm, tick_spacing: int
    ) -> UniswapV3Pool:
        """A pool of which only the immutables are known: to be given to `read_calls`."""
        return cls(address, dex, token0, token1, fee_ppm, tick_spacing, 0, 0, 0, (), None)

    def _zero_for_one(self, token_in: Address) -> bool:
        if token_in == self.token0:
            return True
        if token_in == self.token1:
            return False
        raise wrong_token(self, token_in)

    def _run(self, zero_for_one: bool, amount: int, exact_in: bool) -> _End:
        """UniswapV3Pool.swap with the widest price limit. Raises SwapReverts."""
        if amount <= 0:
            raise SwapReverts("AS", self.address)
        if amount >= 2**255:
            raise SwapReverts("the amount does not fit int256", self.address)
        price, tick, liquidity = self.sqrt_price_x96, self.tick, self.liquidity
        if price == 0:
            raise SwapReverts("LOK", self.address)
        limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        if (price <= limit) if zero_for_one else (price >= limit):
            raise SwapReverts("SPL", self.address)

        ticks, spacing, fee_ppm = self.ticks, self.tick_spacing, self.fee_ppm
        kept = PPM - fee_ppm
        lowest, highest = self.window or (None, None)
        total = len(ticks)
        # The next tick that could be crossed: ticks[at - 1] downwards, ticks[at] upwards.
        at = bisect_right(ticks, tick, key=_index)
        remaining, other, fees = amount, 0, 0
        ended_on: int | None = tick

        while remaining and price != limit:
            if zero_for_one:
                word_start = (tick // spacing >> 8 << 8) * spacing
                if lowest is not None and word_start < lowest:
                    raise SwapReverts(BEYOND_WINDOW, self.address)
                boundary, crosses = word_start, False
                if at and ticks[at - 1][0] >= word_start:
                    boundary, crosses = ticks[at - 1][0], True
                elif not liquidity and lowest is None:
                    # With nothing to trade the words between change neither price nor amounts.
                    boundary, crosses = (ticks[at - 1][0], True) if at else (MIN_TICK, False)
                boundary = max(boundary, MIN_TICK)
                target = max(sqrt_ratio_at_tick(boundary), limit)
                if exact_in:
                    net = remaining * kept // PPM
                    step_in = amount0_delta_up(target, price, liquidity)
                    if net >= step_in:
                        following = target
                    else:
                        following = self._next_from_input(price, liquidity, net, True)
                        step_in = amount0_delta_up(following, price, liquidity)
                    step_out = amount1_delta_down(following, price, liquidity)
                else:
                    step_out = amount1_delta_down(target, price, liquidity)
                    if remaining >= step_out:
                        following = target
                    else:
                        following = self._next_from_output(price, liquidity, remaining, True)
                        step_out = min(amount1_delta_down(following, price, liquidity), remaining)
                    step_in = amount0_delta_up(following, price, liquidity)
            else:
                word_end = ((tick // spacing + 1 >> 8 << 8) + 255) * spacing
                if highest is not None and word_end > highest:
                    raise SwapReverts(BEYOND_WINDOW, self.address)
                boundary, crosses = word_end, False
                if at < total and ticks[at][0] <= word_end:
                    boundary, crosses = ticks[at][0], True
                elif not liquidity and highest is None:
                    boundary, crosses = (ticks[at][0], True) if at < total else (MAX_TICK, False)
                boundary = min(boundary, MAX_TICK)
                target = min(sqrt_ratio_at_tick(boundary), limit)
                if exact_in:
                    net = remaining * kept // PPM
                    step_in = amount1_delta_up(price, target, liquidity)
                    if net >= step_in:
                        following = target
                    else:
                        following = self._next_from_input(price, liquidity, net, False)
                        step_in = amount1_delta_up(price, following, liquidity)
                    step_out = amount0_delta_down(price, following, liquidity)
                else:
                    step_out = amount0_delta_down(price, target, liquidity)
                    if remaining >= step_out:
                        following = target
                    else:
                        following = self._next_from_output(price, liquidity, remaining, False)
                        step_out = min(amount0_delta_down(price, following, liquidity), remaining)
                    step_in = amount1_delta_up(price, following, liquidity)

            if exact_in:
                fee = remaining - step_in if following != target else mul_div_up(step_in, fee_ppm, kept)
                remaining -= step_in + fee
                other += step_out
            else:
                fee = mul_div_up(step_in, fee_ppm, kept)
                remaining -= step_out
                other += step_in + fee
            fees += fee

            if following == sqrt_ratio_at_tick(boundary):
                if crosses:
                    if zero_for_one:
                        at -= 1
                        liquidity -= ticks[at][1]
                    else:
                        liquidity += ticks[at][1]
                        at += 1
                    if liquidity < 0:
                        raise SwapReverts("LS", self.address)
                    if liquidity > MAX_LIQUIDITY:
                        raise SwapReverts("LA", self.address)
                tick = boundary - 1 if zero_for_one else boundary
                ended_on = tick
            elif following != price:
                ended_on = None
            price = following

        spent, given = (amount - remaining, other) if exact_in else (other, amount - remaining)
        return _End(price, ended_on, liquidity, spent, given, fees, remaining)

    def _next_from_input(self, price: int, liquidity: int, amount: int, zero_for_one: bool) -> int:
        try:
            return next_sqrt_price_from_input(price, liquidity, amount, zero_for_one)
        except PriceError as error:
            raise SwapReverts(str(error), self.address) from error

    def _next_from_output(self, price: int, liquidity: int, amount: int, zero_for_one: bool) -> int:
        try:
            return next_sqrt_price_from_output(price, liquidity, amount, zero_for_one)
        except PriceError as error:
            raise SwapReverts(str(error), self.address) from error

    def _swap(self, token_in: Address, amount: int, exact_in: bool) -> Swap:
        end = self._run(self._zero_for_one(token_in), amount, exact_in)
        tick = end.tick if end.tick is not None else tick_at_sqrt_ratio(end.sqrt_price_x96)
        after = UniswapV3Pool(
            self.address,
            self.dex,
            self.token0,
            self.token1,
            self.fee_ppm,
            self.tick_spacing,
            end.sqrt_price_x96,
            tick,
            end.liquidity,
            self.ticks,
            self.window,
        )
        impact = impact_bps(end.amount_in - end.fee, end.amount_out, self.spot_ratio(token_in))
        return Swap(end.amount_in, end.amount_out, end.fee, impact, after)

    def swap_exact_in(self, token_in: Address, amount_in: int) -> Swap:
        """UniswapV3Pool.swap with a positive amount; takes less than offered where liquidity ends, as the pool does."""
        return self._swap(token_in, amount_in, True)

    def swap_exact_out(self, token_in: Address, amount_out: int) -> Swap:
        """UniswapV3Pool.swap with a negative amount; gives less than asked where liquidity ends, as the pool does."""
        return self._swap(token_in, amount_out, False)

    def quote_out(self, token_in: Address, amount_in: int) -> int:
        try:
            end = self._run(self._zero_for_one(token_in), amount_in, True)
        except SwapReverts:
            return 0
        return 0 if end.remaining else end.amount_out

    def least_in(self, token_in: Address, amount_out: int) -> int:
        zero_for_one = self._zero_for_one(token_in)
        try:
            end = self._run(zero_for_one, amount_out, False)
        except SwapReverts:
            return 0
        if end.remaining or end.amount_in <= 0:
            return 0
        # Exact-out rounds each step against the payer, so its input may be a little more, or less, than the least.
        high, step = end.amount_in, 1
        while self.quote_out(token_in, high) < amount_out:
            high += step
            step *= 2
            if step > 1 << 16:
                return 0
        low, step = high - 1, 1
        while low > 0 and self.quote_out(token_in, low) >= amount_out:
            high, low, step = low, low - step, step * 2
        low = max(low, 0)
        while high - low > 1:
            middle = (low + high) // 2
            if self.quote_out(token_in, middle) >= amount_out:
                high = middle
            else:
                low = middle
        return high

    def spot_ratio(self, token_in: Address) -> tuple[int, int]:
        square = self.sqrt_price_x96**2
        return (square, 1 << 192) if self._zero_for_one(token_in) else (1 << 192, square)

    def stretches(self, token_in: Address) -> Iterator[Stretch]:
        """One stretch per range between initialised ticks (whitepaper 6.2.1: x = L / sqrt(P), y = L * sqrt(P))."""
        zero_for_one = self._zero_for_one(token_in)
        price, liquidity, ticks = self.sqrt_price_x96, self.liquidity, self.ticks
        if not price:
            return
        kept = PPM - self.fee_ppm
        lowest, highest = self.window or (MIN_TICK, MAX_TICK)
        at = bisect_right(ticks, self.tick, key=_index)
        while True:
            if zero_for_one:
                at -= 1
                boundary = ticks[at][0] if at >= 0 else max(lowest, MIN_TICK)
                target = max(sqrt_ratio_at_tick(boundary), MIN_SQRT_RATIO + 1)
                if liquidity > 0 and target < price:
                    needed = amount0_delta_up(target, price, liquidity)
                    yield Stretch(
                        liquidity * price * price * kept,
                        (liquidity << 192) * PPM,
                        kept * price << 96,
                        needed + mul_div_up(needed, self.fee_ppm, kept),
                        False,
                    )
                if at < 0:
                    return
                liquidity -= ticks[at][1]
            else:
                boundary = ticks[at][0] if at < len(ticks) else min(highest, MAX_TICK)
                target = min(sqrt_ratio_at_tick(boundary), MAX_SQRT_RATIO - 1)
                if liquidity > 0 and target > price:
                    needed = amount1_delta_up(price, target, liquidity)
                    yield Stretch(
                        (liquidity << 192) * kept,
                        liquidity * price * price * PPM,
                        kept * price << 96,
                        needed + mul_div_up(needed, self.fee_ppm, kept),
                        False,
                    )
                if at >= len(ticks):
                    return
                liquidity += ticks[at][1]
                at += 1
            price = target

    def virtual_reserves(self, token_in: Address) -> tuple[int, int]:
        if not self.sqrt_price_x96:
            return 0, 0
        reserve0 = (self.liquidity << 96) // self.sqrt_price_x96
        reserve1 = self.liquidity * self.sqrt_price_x96 >> 96
        return (reserve0, reserve1) if self._zero_for_one(token_in) else (reserve1, reserve0)

    def capacity_in(self, token_in: Address) -> int | None:
        if not self.liquidity:
            return 0
        first = next(self.stretches(token_in), None)
        return first.capacity if first else 0

    def depth(self, token: Address) -> int:
        return self.virtual_reserves(token)[0]


def _word(tick: int, spacing: int) -> int:
    return tick // spacing >> 8


def _words_around(tick: int, spacing: int) -> range:
    """Bitmap words within WINDOW_WORDS of the one that holds `tick`, cut to those that exist."""
    centre = _word(tick, spacing)
    first, last = _word(MIN_TICK, spacing), _word(MAX_TICK, spacing)
    return range(max(centre - WINDOW_WORDS, first), min(centre + WINDOW_WORDS, last) + 1)


@dataclass(frozen=True, slots=True)
class _Known:
    """What has been read so far, and which words and ticks the open calls ask for, in that order."""

    slot0: tuple[int, int] | None
    liquidity: int
    words: Mapping[int, int]
    nets: Mapping[int, int]
    asked_words: tuple[int, ...]
    asked_ticks: tuple[int, ...]


def _opening(pool: UniswapV3Pool) -> _Known:
    if not pool.sqrt_price_x96:
        return _Known(None, 0, {}, {}, (), ())
    words = _words_around(pool.tick, pool.tick_spacing)
    ticks = tuple(index for index, _ in pool.ticks if _word(index, pool.tick_spacing) in words)
    return _Known(None, 0, {}, {}, tuple(words), ticks)


def _calls(pool: UniswapV3Pool, known: _Known) -> tuple[Call, ...]:
    name = f"{pool.dex} pool {pool.address}"
    calls = []
    if known.slot0 is None:
        calls.append(Call(pool.address, encode_call("slot0()"), f"{name} slot0()"))
        calls.append(Call(pool.address, encode_call("liquidity()"), f"{name} liquidity()"))
    calls += [
        Call(pool.address, encode_call("tickBitmap(int16)", word), f"{name} tickBitmap({word})")
        for word in known.asked_words
    ]
    calls += [
        Call(pool.address, encode_call("ticks(int24)", tick), f"{name} ticks({tick})")
        for tick in known.asked_ticks
    ]
    return tuple(calls)


def read_calls(pool: Pool) -> tuple[Call, ...]:
    """slot0(), liquidity(), the bitmap words around the last known tick, and ticks() for every tick known there.

    A pool never read asks for the first two only: what else is needed follows from the answers.
    """
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101 - the registry pairs kinds with modules
    return _calls(pool, _opening(pool))


def _signed(word: int, bits: int) -> int:
    """The low `bits` of an ABI word as a two's complement number."""
    word &= (1 << bits) - 1
    return word - (1 << bits) if word >> (bits - 1) else word


def with_answers(asked: Pool | NeedsMore, results: Sequence[CallResult]) -> Pool | NeedsMore:
    """The pool as the answers say, or NeedsMore where they show words or ticks that were not asked for.

    `asked` is the pool given to `read_calls`, or the NeedsMore of the step before; all steps at one block. Raises
    MalformedAnswer for a failed, short or impossible answer.
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
    if len(results) != len(calls):
        raise MalformedAnswer(f"{pool.dex} pool {pool.address}: {len(results)} answers to {len(calls)} calls")
    answers = iter(zip(calls, results, strict=True))

    def words_of(count: int) -> list[int]:
        call, result = next(answers)
        if not result.success or len(result.data) < 32 * count:
            raise MalformedAnswer(f"{call.what}: no answer of {count} words; is it a Uniswap V3 pool?")
        return [int.from_bytes(result.data[i : i + 32]) for i in range(0, 32 * count, 32)]

    slot0, liquidity = known.slot0, known.liquidity
    if slot0 is None:
        price, raw_tick = words_of(7)[:2]
        slot0 = (price, _signed(raw_tick, 24))
        liquidity = words_of(1)[0]
        if (price and not MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO) or liquidity > MAX_LIQUIDITY:
            raise MalformedAnswer(f"{calls[0].what}: a price or liquidity that no pool can have")
    words = {**known.words, **{word: words_of(1)[0] for word in known.asked_words}}
    nets = {**known.nets, **{tick: _signed(words_of(2)[1], 128) for tick in known.asked_ticks}}

    price, tick = slot0
    spacing = pool.tick_spacing
    if price == 0:
        return replace(pool, sqrt_price_x96=0, tick=0, liquidity=0, ticks=(), window=None)
    span = _words_around(tick, spacing)
    initialised = tuple((word * 256 + bit) * spacing for word in span for bit in _bits(words.get(word, 0)))
    more_words = tuple(word for word in span if word not in words)
    more_ticks = tuple(index for index in initialised if index not in nets)
    if more_words or more_ticks:
        half = _Known(slot0, liquidity, words, nets, more_words, more_ticks)
        return NeedsMore(_calls(pool, half), pool, half)
    everything = len(span) == len(range(_word(MIN_TICK, spacing), _word(MAX_TICK, spacing) + 1))
    return replace(
        pool,
        sqrt_price_x96=price,
        tick=tick,
        liquidity=liquidity,
        ticks=tuple((index, nets[index]) for index in initialised),
        window=None if everything else (span[0] * 256 * spacing, (span[-1] * 256 + 255) * spacing),
    )


def _bits(word: int) -> Iterator[int]:
    """Positions of the set bits, lowest first."""
    while word:
        low = word & -word
        yield low.bit_length() - 1
        word ^= low


def from_fields(
    fields: Fields, address: Address, dex: str, token0: Address, token1: Address, fee_ppm: Ppm
) -> Pool:
    """A pool from the family's own fields of a snapshot line, checked for what no pool's state can be."""
    spacing = fields.integer("tick_spacing", 1, MAX_TICK_SPACING)
    price = fields.integer("sqrt_price_x96", MIN_SQRT_RATIO, MAX_SQRT_RATIO - 1)
    tick = fields.integer("tick", MIN_TICK - 1, MAX_TICK)
    liquidity = fields.integer("liquidity", 0, MAX_LIQUIDITY)
    ticks = tuple(fields.pairs("ticks"))
    window = None
    if fields.has("window"):
        edges = fields.pairs("window")
        if len(edges) != 1 or edges[0][0] > tick or edges[0][1] < tick:
            raise BadField("window is not one range around the tick")
        window = edges[0]
        if window[0] % (256 * spacing) or (window[1] + spacing) % (256 * spacing):
            raise BadField("window is not whole bitmap words")
    _check_price(price, tick)
    _check_ticks(ticks, spacing, tick, liquidity, window)
    return UniswapV3Pool(
        address, dex, token0, token1, fee_ppm, spacing, price, tick, liquidity, ticks, window
    )


def _check_price(price: int, tick: int) -> None:
    # A swap down that stops on a tick leaves the price at that tick's ratio and the tick one below.
    low = sqrt_ratio_at_tick(max(tick, MIN_TICK))
    high = sqrt_ratio_at_tick(min(tick + 1, MAX_TICK))
    if not low <= price <= high:
        raise BadField("sqrt_price_x96 does not lie in tick")


def _check_ticks(
    ticks: tuple[tuple[int, int], ...],
    spacing: int,
    tick: int,
    liquidity: int,
    window: tuple[int, int] | None,
) -> None:
    low, high = window or (MIN_TICK, MAX_TICK)
    low, high = max(low, MIN_TICK), min(high, MAX_TICK)
    for index, net in ticks:
        if not low <= index <= high:
            raise BadField(f"ticks: index {index} is out of range")
        if index % spacing:
            raise BadField(f"ticks: index {index} is not a multiple of tick_spacing {spacing}")
        if abs(net) > MAX_LIQUIDITY:
            raise BadField(f"ticks: liquidity_net at {index} is out of range")
    if any(left[0] >= right[0] for left, right in pairwise(ticks)):
        raise BadField("ticks are not sorted by index, or one is there twice")
    if window is not None:
        return
    running = here = 0
    for index, net in ticks:
        running += net
        if not 0 <= running <= MAX_LIQUIDITY:
            raise BadField(f"ticks: liquidity from {index} on is out of range")
        if index <= tick:
            here = running
    if here != liquidity:
        raise BadField("liquidity differs from the sum of liquidity_net up to tick")
    if running:
        raise BadField("liquidity_net does not sum to zero")


def state_fields(pool: Pool) -> dict[str, object]:
    """What a swap changes, as JSON: amounts are decimal strings."""
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    return {
        "sqrt_price_x96": str(pool.sqrt_price_x96),
        "tick": pool.tick,
        "liquidity": str(pool.liquidity),
    }


def own_fields(pool: Pool) -> dict[str, object]:
    """The family's own fields of a snapshot line; `window` (one pair) only where not all ticks are known."""
    assert isinstance(pool, UniswapV3Pool)  # noqa: S101
    row: dict[str, object] = {
        "tick_spacing": pool.tick_spacing,
        **state_fields(pool),
        "ticks": [[index, str(net)] for index, net in pool.ticks],
    }
    if pool.window is not None:
        row["window"] = [list(pool.window)]
    return row
