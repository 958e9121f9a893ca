"""Uniswap V3 pools: concentrated liquidity, swapped exactly as UniswapV3Pool.swap does.

Sources: v3-core's UniswapV3Pool.swap, SwapMath.computeSwapStep, TickBitmap.nextInitializedTickWithinOneWord;
whitepaper sections 6.2 and 6.3. How a pool is read and kept is in `uniswap_v3_state`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from threading import Lock
from typing import ClassVar, NamedTuple

from arbtui.domain import PoolKind
from arbtui.market.pool import Stretch, Swap, SwapReverts, impact_bps, wrong_token
from arbtui.market.tick_math import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
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
#: Bitmap words read on each side of the one that holds the current tick, where not all are.
WINDOW_WORDS = 2
BEYOND_WINDOW = "beyond the ticks that were read"

_index = itemgetter(0)


class _End(NamedTuple):
    """Where a swap ends, and what it took and gave on the way; `amount_in` has the fee in it.

    `tick` is None where it must still be found from the price.
    """

    sqrt_price_x96: int
    tick: int | None
    liquidity: int
    amount_in: int
    amount_out: int
    fee: int
    remaining: int = 0


#: Two threads may quote the same pool; only one makes a step.
_growing = Lock()


class _Ladder:
    """The whole steps of a swap in one direction from a pool's state, taken as far as anybody asked.

    A step of UniswapV3Pool.swap goes to the next initialised tick or the end of a bitmap word. What a *whole* step
    takes and gives depends on nothing but where it starts, and exact-in and exact-out agree on it; so the steps are
    kept, and a swap is the search for its last whole step and one part of a step. A whole step with exact-in needs
    `floor(remaining * (1e6 - fee) / 1e6) >= step_in`, which is `remaining >= step_in + ceil(step_in * fee / (1e6 -
    fee))`: the sum it also takes.

    `ends[0]` is the pool's state, `ends[k]` what is so after k whole steps; `ins` and `outs` are its sums, apart for
    the search.
    """

    __slots__ = ("_at", "_down", "_fee_ppm", "_kept", "_limit", "_pool", "ends", "ins", "outs", "refusal")

    def __init__(self, pool: UniswapV3Pool, zero_for_one: bool) -> None:
        self._pool = pool
        self._down = zero_for_one
        self._fee_ppm, self._kept = pool.fee_ppm, PPM - pool.fee_ppm
        self._limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        # The next tick that could be crossed: ticks[_at - 1] downwards, ticks[_at] upwards.
        self._at = bisect_right(pool.ticks, pool.tick, key=_index)
        price = pool.sqrt_price_x96
        self.ends = [_End(price, pool.tick, pool.liquidity, 0, 0, 0)]
        self.ins, self.outs = [0], [0]
        #: Why no further step can be taken: a contract's reason, "" where the price range ends; None while one can.
        self.refusal: str | None = None
        if price == 0:
            self.refusal = "LOK"
        elif (price <= self._limit) if zero_for_one else (price >= self._limit):
            self.refusal = "SPL"
        elif pool.is_astray:
            self.refusal = BEYOND_WINDOW

    def _grow(self) -> None:
        """Take one more whole step, or say in `refusal` why there is none."""
        price, tick, liquidity, spent, given, fees, _ = self.ends[-1]
        if price == self._limit or tick is None:
            self.refusal = ""
            return
        pool, at = self._pool, self._at
        ticks, spacing, window = pool.ticks, pool.tick_spacing, pool.window
        crossed: int | None = None
        if self._down:
            boundary = (tick // spacing >> 8 << 8) * spacing
            if window is not None and boundary < window[0]:
                self.refusal = BEYOND_WINDOW
                return
            if at and ticks[at - 1][0] >= boundary:
                boundary, crossed = ticks[at - 1]
            elif not liquidity and window is None:
                # With nothing to trade the words between change neither price nor amounts.
                boundary, crossed = ticks[at - 1] if at else (MIN_TICK, None)
            boundary = max(boundary, MIN_TICK)
            ratio = sqrt_ratio_at_tick(boundary)
            target = max(ratio, self._limit)
            step_in = amount0_delta_up(target, price, liquidity)
            step_out = amount1_delta_down(target, price, liquidity)
            following = boundary - 1
        else:
            boundary = ((tick // spacing + 1 >> 8 << 8) + 255) * spacing
            if window is not None and boundary > window[1]:
                self.refusal = BEYOND_WINDOW
                return
            if at < len(ticks) and ticks[at][0] <= boundary:
                boundary, crossed = ticks[at]
            elif not liquidity and window is None:
                boundary, crossed = ticks[at] if at < len(ticks) else (MAX_TICK, None)
            boundary = min(boundary, MAX_TICK)
            ratio = sqrt_ratio_at_tick(boundary)
            target = min(ratio, self._limit)
            step_in = amount1_delta_up(price, target, liquidity)
            step_out = amount0_delta_down(price, target, liquidity)
            following = boundary
        if crossed is not None and target == ratio:
            liquidity = liquidity - crossed if self._down else liquidity + crossed
            self._at = at - 1 if self._down else at + 1
            if not 0 <= liquidity <= MAX_LIQUIDITY:
                self.refusal = "LS" if liquidity < 0 else "LA"
        fee = mul_div_up(step_in, self._fee_ppm, self._kept)
        end = _End(
            target,
            following if target == ratio else None,
            liquidity,
            spent + step_in + fee,
            given + step_out,
            fees + fee,
        )
        # In this order: who searches the sums in another thread finds the end that belongs to them.
        self.ends.append(end)
        self.ins.append(end.amount_in)
        self.outs.append(end.amount_out)

    def reach(self, sums: list[int], amount: int) -> int:
        """The first whole step whose sum is `amount` or more; 0 where even all of them do not take so much.

        Raises SwapReverts where the pool would not come so far.
        """
        if sums[-1] < amount:
            with _growing:
                while sums[-1] < amount:
                    if self.refusal is None:
                        self._grow()
                    elif self.refusal:
                        raise SwapReverts(self.refusal, self._pool.address)
                    else:
                        return 0
        step = bisect_left(sums, amount)
        if sums[step] == amount:
            self._crossed(step)
        return step

    def _crossed(self, step: int) -> None:
        if not 0 <= self.ends[step].liquidity <= MAX_LIQUIDITY:
            raise SwapReverts(self.refusal or "", self._pool.address)

    def part_in(self, before: _End, amount: int) -> tuple[int, int, int]:
        """(price, net input, output) of what is left of `amount` after `before`, too little for the next step."""
        price, liquidity = before.sqrt_price_x96, before.liquidity
        net = (amount - before.amount_in) * self._kept // PPM
        following = next_sqrt_price_from_input(price, liquidity, net, self._down)
        if self._down:
            taken = amount0_delta_up(following, price, liquidity)
            return following, taken, amount1_delta_down(following, price, liquidity)
        taken = amount1_delta_up(price, following, liquidity)
        return following, taken, amount0_delta_down(price, following, liquidity)

    def exact_in(self, amount: int) -> _End:
        step = self.reach(self.ins, amount)
        if not step:
            return self.ends[-1]._replace(remaining=amount - self.ins[-1])
        if self.ins[step] == amount:
            return self.ends[step]
        before = self.ends[step - 1]
        price, taken, given = self.part_in(before, amount)
        return before._replace(
            sqrt_price_x96=price,
            tick=before.tick if price == before.sqrt_price_x96 else None,
            amount_in=amount,
            amount_out=before.amount_out + given,
            fee=before.fee + amount - before.amount_in - taken,
        )

    def exact_out(self, amount: int) -> _End:
        step = self.reach(self.outs, amount)
        if not step:
            return self.ends[-1]._replace(remaining=amount - self.outs[-1])
        if self.outs[step] == amount:
            return self.ends[step]
        before, whole = self.ends[step - 1], self.ends[step]
        start, liquidity = before.sqrt_price_x96, before.liquidity
        price = next_sqrt_price_from_output(start, liquidity, amount - before.amount_out, self._down)
        low, high = min(price, start), max(price, start)
        taken = (amount0_delta_up if self._down else amount1_delta_up)(low, high, liquidity)
        fee = mul_div_up(taken, self._fee_ppm, self._kept)
        if price == whole.sqrt_price_x96:
            # With more liquidity than 2**96 the last unit can move the price all the way: the tick is crossed.
            self._crossed(step)
            tick, liquidity = whole.tick, whole.liquidity
        else:
            tick = before.tick if price == start else None
        return _End(price, tick, liquidity, before.amount_in + taken + fee, amount, before.fee + fee)


@dataclass(frozen=True, slots=True)
class UniswapV3Pool:
    """A pool's state: Q64.96 sqrt price, current tick and liquidity, and `ticks` sorted as (index, liquidity_net).

    `window` is the inclusive range of ticks, whole bitmap words, that was read; None where all ticks are known.
    A swap that would leave it reverts with `BEYOND_WINDOW`. A sqrt price of 0 is a pool not initialised or not read.

    `gross` is the liquidity_gross of each of `ticks`, or None where it is not known: only a burn needs it, to tell
    whether a tick whose net is 0 is still initialised and so still ends a step. `reach` says how the pool is read:
    so many bitmap words on each side of the current one, or None for the whole bitmap.
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
    gross: tuple[int, ...] | None = None
    reach: int | None = field(default=None, compare=False)
    _ladders: list[_Ladder | None] = field(
        default_factory=lambda: [None, None], init=False, repr=False, compare=False
    )

    @classmethod
    def unread(
        cls,
        address: Address,
        dex: str,
        token0: Address,
        token1: Address,
        fee_ppm: Ppm,
        tick_spacing: int,
        reach: int | None = WINDOW_WORDS,
    ) -> UniswapV3Pool:
        """A pool of which only the immutables are known: to be given to `read_calls`.

        `reach`: bitmap words to read on each side of the current one; None reads all there are (`bitmap_words`).
        """
        return cls(address, dex, token0, token1, fee_ppm, tick_spacing, 0, 0, 0, (), None, (), reach)

    def _zero_for_one(self, token_in: Address) -> bool:
        if token_in == self.token0:
            return True
        if token_in == self.token1:
            return False
        raise wrong_token(self, token_in)

    def _ladder(self, zero_for_one: bool) -> _Ladder:
        ladder = self._ladders[zero_for_one]
        if ladder is None:
            ladder = self._ladders[zero_for_one] = _Ladder(self, zero_for_one)
        return ladder

    def _run(self, token_in: Address, amount: int, exact_in: bool) -> _End:
        """UniswapV3Pool.swap with the widest price limit. Raises SwapReverts."""
        ladder = self._ladder(self._zero_for_one(token_in))
        if amount <= 0:
            raise SwapReverts("AS", self.address)
        if amount >= 2**255:
            raise SwapReverts("the amount does not fit int256", self.address)
        return ladder.exact_in(amount) if exact_in else ladder.exact_out(amount)

    def _swap(self, token_in: Address, amount: int, exact_in: bool) -> Swap:
        end = self._run(token_in, amount, exact_in)
        tick = end.tick if end.tick is not None else tick_at_sqrt_ratio(end.sqrt_price_x96)
        after = self.at_price(end.sqrt_price_x96, tick, end.liquidity)
        impact = impact_bps(end.amount_in - end.fee, end.amount_out, self.spot_ratio(token_in))
        return Swap(end.amount_in, end.amount_out, end.fee, impact, after)

    def at_price(self, sqrt_price_x96: int, tick: int, liquidity: int) -> UniswapV3Pool:
        """The same pool and ticks where a swap leaves it."""
        return UniswapV3Pool(
            self.address,
            self.dex,
            self.token0,
            self.token1,
            self.fee_ppm,
            self.tick_spacing,
            sqrt_price_x96,
            tick,
            liquidity,
            self.ticks,
            self.window,
            self.gross,
            self.reach,
        )

    def swap_exact_in(self, token_in: Address, amount_in: int) -> Swap:
        """UniswapV3Pool.swap with a positive amount; takes less than offered where liquidity ends, as the pool does."""
        return self._swap(token_in, amount_in, True)

    def swap_exact_out(self, token_in: Address, amount_out: int) -> Swap:
        """UniswapV3Pool.swap with a negative amount; gives less than asked where liquidity ends, as the pool does."""
        return self._swap(token_in, amount_out, False)

    def quote_out(self, token_in: Address, amount_in: int) -> int:
        zero_for_one = token_in == self.token0 or self._zero_for_one(token_in)
        if not 0 < amount_in < 2**255:
            return 0
        ladder = self._ladders[zero_for_one] or self._ladder(zero_for_one)
        try:
            step = ladder.reach(ladder.ins, amount_in)
        except SwapReverts:
            return 0
        if not step:
            return 0
        if ladder.ins[step] == amount_in:
            return ladder.ends[step].amount_out
        before = ladder.ends[step - 1]
        return before.amount_out + ladder.part_in(before, amount_in)[2]

    def least_in(self, token_in: Address, amount_out: int) -> int:
        ladder = self._ladder(self._zero_for_one(token_in))
        if not 0 < amount_out < 2**255:
            return 0
        try:
            step = ladder.reach(ladder.outs, amount_out)
            guess = ladder.exact_out(amount_out).amount_in
        except SwapReverts:
            return 0
        if not step:
            return 0
        # What completes the step gives enough, what completes the one before does not; exact-out rounds each step
        # against the payer, so its input is a good guess between, a little more or less than the least.
        low, high = ladder.ends[step - 1].amount_in, ladder.ends[step].amount_in
        guess, stride = min(max(guess, low + 1), high), 1
        if self.quote_out(token_in, guess) >= amount_out:
            high = guess
            while high - stride > low and self.quote_out(token_in, high - stride) >= amount_out:
                high, stride = high - stride, stride * 2
            low = max(low, high - stride)
        else:
            low = guess
            while low + stride < high and self.quote_out(token_in, low + stride) < amount_out:
                low, stride = low + stride, stride * 2
            high = min(high, low + stride)
        while high - low > 1:
            middle = (low + high) // 2
            if self.quote_out(token_in, middle) >= amount_out:
                high = middle
            else:
                low = middle
        return high if high < 2**255 else 0

    def spot_ratio(self, token_in: Address) -> tuple[int, int]:
        square = self.sqrt_price_x96**2
        return (square, 1 << 192) if self._zero_for_one(token_in) else (1 << 192, square)

    def stretches(self, token_in: Address) -> Iterator[Stretch]:
        """One stretch per range between initialised ticks (whitepaper 6.2.1: x = L / sqrt(P), y = L * sqrt(P))."""
        zero_for_one = self._zero_for_one(token_in)
        price, liquidity, ticks = self.sqrt_price_x96, self.liquidity, self.ticks
        if not price or self.is_astray:
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

    @property
    def is_astray(self) -> bool:
        """Whether the price has left the ticks that were read: nothing is known of what is around it."""
        return self.window is not None and not self.window[0] <= self.tick <= self.window[1]

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
