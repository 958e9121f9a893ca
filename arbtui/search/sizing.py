"""How much to put into a cycle: floats to come near (`curve`), exact integers to decide.

A trade is named by the amount at any one level of the cycle (before the first hop, between two, after the last): the
least input that reaches it, and all the output that follows. So where one level has few values within reach of a
better profit, trying them all gives the optimum itself: those that may gain most first, until none of the others may
gain more. Where all levels are fine, neighbours of the float optimum do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from arbtui.market import Stretch, SwapReverts
from arbtui.search.curve import Leg, first_piece, in_floats, inputs_with, peak, roots
from arbtui.units import PPM, UINT256_MAX, Address, div_up

Floats = NDArray[np.float64]

#: So few values of a level are all tried; of more, so many at most, of those with the greatest bounds.
_TRY_ALL = 48
_TRIES = 1_024
#: A float hop is off by less than this, relatively.
_HOP_ERROR = 1e-12
#: Levels as coarse as this are worth looking at closely: one unit there is worth more than 1e-4 of the amount.
_COARSE = 10_000
#: A profit within this part and so many base units of the real curve's is not looked at any closer.
_GOOD = 1e-9
_GOOD_UNITS = 4
_NEIGHBOURS = (1, -1, 2, -2, 3, -3)
_MAX_ROUNDS = 12


class Size(NamedTuple):
    """An input and the output that integer arithmetic gives for it, hop by hop."""

    amount_in: int
    amount_out: int

    @property
    def profit(self) -> int:
        return self.amount_out - self.amount_in


class _LoanFee:
    """A last hop that divides by 1 + fee: a cycle that ends with it gains most where the loan's fee leaves most.

    out/(1 + f) - in is (out - (1 + f)*in) / (1 + f), and has its greatest value at the same input.
    """

    __slots__ = ("_whole",)

    def __init__(self, fee_ppm: int) -> None:
        self._whole = PPM + fee_ppm

    def quote_out(self, token_in: Address, amount_in: int) -> int:  # noqa: ARG002
        return amount_in * PPM // self._whole

    def least_in(self, token_in: Address, amount_out: int) -> int:  # noqa: ARG002
        return div_up(amount_out * self._whole, PPM)

    def swap_exact_in(self, token_in: Address, amount_in: int) -> Size:
        return Size(amount_in, self.quote_out(token_in, amount_in))

    def stretches(self, token_in: Address) -> Iterator[Stretch]:  # noqa: ARG002
        yield Stretch(PPM, self._whole, 0, UINT256_MAX, True)


def input_after_fee(legs: Sequence[Leg], fee_ppm: int) -> int | None:
    """The input of the closed cycle `legs` that leaves most after a fee of `fee_ppm` of it, to one base unit of that.

    None where no input leaves a base unit.
    """
    fee = Leg.of(_LoanFee(fee_ppm), legs[0].token_in)
    best = best_size([*legs, fee]) if fee is not None else None
    return None if best is None else best.amount_in


def best_size(legs: Sequence[Leg]) -> Size | None:
    """The most profitable input found for the closed cycle `legs`; None where none gains a base unit."""
    gain, _, c, limit = first_piece(legs)
    if gain <= 0:
        return None
    factor = gain / (1 + math.sqrt(1 + gain))
    wanted = factor / c
    within = wanted <= limit
    real = factor * wanted
    if not within:
        wanted, real = peak(legs)
    # Integer rounding only ever takes, so the curve's own greatest profit bounds what integers can gain.
    if within and real < 0.999:
        return None
    chain: _Chain = (
        _Formula([leg.stretch[:4] for leg in legs])
        if all(leg.stretch.exact for leg in legs)
        else _Pools(legs)
    )
    levels = chain.levels(max(1, int(wanted)))
    if not levels[-1]:
        levels = chain.levels(_within_reach(chain, levels[0]))
    best = chain.trimmed(levels[0], levels[-1])
    beaten = max(best.profit, 0) + 1
    if within and beaten > real * (1 + 1e-9) + 0.001:
        return best if best.profit > 0 else None
    if best.profit > 0 and min(levels) >= _COARSE and real - best.profit <= _GOOD * real + _GOOD_UNITS:
        return best
    if min(levels) < _COARSE:
        span = roots(gain, c, beaten) if within else inputs_with(legs, beaten)
        if within and span is not None and span[1] > limit:
            span = inputs_with(legs, beaten)
        if span is None or span[0] > span[1]:
            return best if best.profit > 0 else None
        best, is_best = _try_level(chain, legs, span, best, levels)
        if is_best:
            return best if best.profit > 0 else None
        levels = chain.levels(best.amount_in)
    best = _climb(chain, best, levels)
    return best if best.profit > 0 else None


class _Chain(Protocol):
    """The hops' exact arithmetic, one after the other; 0 stands for a swap that would not be done."""

    def levels(self, amount: int) -> list[int]:
        """`amount` and what follows of it after each hop."""

    def bounds(self, amount: int) -> list[int]:
        """As `levels`, but a hop that cannot take all takes what it can."""

    def forward(self, amount: int) -> int: ...

    def backward(self, amount: int, level: int) -> int:
        """The least input that gives at least `amount` after `level` hops."""

    def trimmed(self, amount: int, out: int) -> Size:
        """`amount`, which gives `out`, lowered to the least input that gives the same."""


class _Formula:
    """Hops whose whole curve is one stretch, rounded down."""

    __slots__ = ("_hops",)

    def __init__(self, hops: Sequence[tuple[int, int, int, int]]) -> None:
        self._hops = hops

    def levels(self, amount: int) -> list[int]:
        found = [amount]
        for p, q, r, capacity in self._hops:
            amount = p * amount // (q + r * amount) if amount <= capacity else 0
            found.append(amount)
        return found

    def bounds(self, amount: int) -> list[int]:
        return self.levels(amount)

    def forward(self, amount: int) -> int:
        for p, q, r, capacity in self._hops:
            if amount > capacity:
                return 0
            amount = p * amount // (q + r * amount)
        return amount

    def backward(self, amount: int, level: int) -> int:
        for p, q, r, capacity in self._hops[level - 1 :: -1] if level else ():
            below = p - r * amount
            if below <= 0 or amount <= 0:
                return 0
            amount = -(-amount * q // below)
            if amount > capacity:
                return 0
        return amount

    def trimmed(self, amount: int, out: int) -> Size:
        return Size(self.backward(out, len(self._hops)), out) if out else Size(amount, 0)


class _Pools:
    """Hops asked of their pools."""

    __slots__ = ("_legs",)

    def __init__(self, legs: Sequence[Leg]) -> None:
        self._legs = legs

    def levels(self, amount: int) -> list[int]:
        found = [amount]
        for leg in self._legs:
            amount = leg.pool.quote_out(leg.token_in, amount) if amount else 0
            found.append(amount)
        return found

    def bounds(self, amount: int) -> list[int]:
        found = [amount]
        for leg in self._legs:
            try:
                amount = leg.pool.swap_exact_in(leg.token_in, amount).amount_out
            except SwapReverts:
                amount = 0
            found.append(amount)
        return found

    def forward(self, amount: int) -> int:
        for leg in self._legs:
            if amount <= 0:
                return 0
            amount = leg.pool.quote_out(leg.token_in, amount)
        return amount

    def backward(self, amount: int, level: int) -> int:
        for leg in reversed(self._legs[:level]):
            if amount <= 0:
                return 0
            amount = leg.pool.least_in(leg.token_in, amount)
        return amount

    def trimmed(self, amount: int, out: int) -> Size:
        least = self.backward(out, len(self._legs)) if out else 0
        if not 0 < least <= amount:
            return Size(amount, out)
        given = self.forward(least)
        return Size(least, given) if given >= out else Size(amount, out)


def _within_reach(chain: _Chain, start: int) -> int:
    """Where a pool runs dry before `start`: the greatest input near it that all pools still take whole."""
    low, high = 0, start
    for cut in (1, 2, 4, 16, 256, 65_536):
        attempt = start - max(start >> 40, 1) * cut
        if attempt > 0 and chain.forward(attempt):
            low = attempt
            break
    while high - low > 1:
        middle = (low + high) // 2
        if chain.forward(middle):
            low = middle
        else:
            high = middle
    return max(low, 1)


def _try_level(
    chain: _Chain, legs: Sequence[Leg], span: tuple[float, float], best: Size, levels: Sequence[int]
) -> tuple[Size, bool]:
    """The best of the values, within `span`, of the level with the fewest, and whether none of them can be better.

    Of very many those nearest to the real optimum, which has `levels`.
    """
    lowest = chain.levels(max(int(span[0]) - 1, 1))
    highest = chain.bounds(int(span[1]) + 2)
    width, level = min(
        (high - low, number)
        for number, (low, high) in enumerate(zip(lowest, highest, strict=True))
        if high or not number
    )
    first, last = max(lowest[level], 1), highest[level]
    if width <= _TRY_ALL:
        for amount in range(first, last + 1):
            best = _tried(chain, amount, level, best)
        return chain.trimmed(*best), True
    whole = width <= 2 * _COARSE
    if not whole:
        first, last = max(first, levels[level] - _COARSE), min(last, levels[level] + _COARSE)
    values = float(first) + np.arange(last - first + 1, dtype=np.float64)
    tops = _optimistic(legs, values, level, highest)
    for place in np.argsort(-tops, kind="stable")[:_TRIES].tolist():
        if tops[place] < max(best.profit, 0) + 1:
            return chain.trimmed(*best), whole
        best = _tried(chain, first + place, level, best)
    return chain.trimmed(*best), whole and len(tops) <= _TRIES


def _tried(chain: _Chain, amount: int, level: int, best: Size) -> Size:
    """`best`, or what has `amount` at `level` where that gains more."""
    amount_in = chain.backward(amount, level)
    if amount_in > 0:
        amount_out = chain.forward(amount_in)
        if amount_out - amount_in > best.profit:
            return Size(amount_in, amount_out)
    return best


class _Curve:
    """A hop's whole curve in floats, up to an input of `most`."""

    __slots__ = ("_a", "_c", "_capacities", "_ins", "_outs")

    def __init__(self, leg: Leg, most: float) -> None:
        rows: list[tuple[float, ...]] = []
        spent = given = 0.0
        for a, c, capacity in in_floats(leg.pool, leg.token_in):
            rows.append((a, c, capacity, spent, given))
            given += a * capacity / (1 + c * capacity)
            spent += capacity
            if spent > most:
                break
        self._a, self._c, self._capacities, self._ins, self._outs = np.array(rows).T

    def forward(self, amounts: Floats) -> Floats:
        at = np.searchsorted(self._ins, amounts, "right") - 1
        step = np.minimum(amounts - self._ins[at], self._capacities[at])
        found: Floats = self._outs[at] + self._a[at] * step / (1 + self._c[at] * step)
        return found

    def backward(self, amounts: Floats) -> Floats:
        at = np.searchsorted(self._outs, amounts, "right") - 1
        step = amounts - self._outs[at]
        below = self._a[at] * (1 + _HOP_ERROR) - self._c[at] * step
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = np.where(below > 0, self._ins[at] + step / below, np.inf)
        return found


def _optimistic(legs: Sequence[Leg], values: Floats, level: int, highest: Sequence[int]) -> Floats:
    """No less than the profit of each trade with one of `values` at `level`; `highest` bounds each level's amounts.

    Hop by hop on the real curve, rounded to whole units as the pools round, but never past what they could give.
    """
    # An amount of 0 in `highest` follows a hop that would not do the swap, and says nothing.
    curves = [_Curve(leg, 2.0 * high if high else math.inf) for leg, high in zip(legs, highest, strict=False)]
    spent, given = values, values
    for curve in curves[:level][::-1]:
        spent = np.ceil(curve.backward(spent) * (1 - _HOP_ERROR))
    for curve in curves[level:]:
        given = np.floor(curve.forward(given) * (1 + _HOP_ERROR))
    return given - spent


def _climb(chain: _Chain, best: Size, levels: Sequence[int]) -> Size:
    """Move to a better neighbour while there is one: at the coarsest level, and closely at all that are coarse."""
    coarsest = min(levels[1:])
    watched = [number for number in range(1, len(levels)) if levels[number] <= max(coarsest, _COARSE)]
    offsets = _NEIGHBOURS if coarsest < _COARSE else _NEIGHBOURS[:2]
    profit = best.profit
    for _ in range(_MAX_ROUNDS):
        before = best
        for level in watched:
            here = levels[level]
            for offset in offsets:
                amount_in = chain.backward(here + offset, level)
                if amount_in > 0:
                    amount_out = chain.forward(amount_in)
                    if amount_out - amount_in > profit:
                        best = Size(amount_in, amount_out)
                        profit = amount_out - amount_in
        if best is before:
            return best
        best = chain.trimmed(*best)
        profit = best.profit
        levels = chain.levels(best.amount_in)
    return best
