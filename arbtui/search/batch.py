"""Exact sizes of many cycles at once, where every hop is a formula (constant product over its whole curve).

A trade is named by the amount `y` at any one level of the cycle: B(y) is the least input that reaches it, F(y) the
output that follows, and the greatest profit of any input is the greatest F(y) - B(y). The level with the fewest
values is taken. There the two integers around the real optimum are tried. Where that level is coarse and a better
value may lie further off, all values that the real curve allows to be better are bounded in floats, rounded hop by hop
in the trade's favour, and those whose bound beats the best are tried. The winner's input is lowered to the least that
gives the same output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from arbtui.search.sizing import Size

#: (p, q, r, capacity) of a hop whose output is p*x // (q + r*x) for every x up to capacity.
Formula = tuple[int, int, int, int]

Floats = NDArray[np.float64]

#: Levels as coarse as this are worth looking at closely: one unit there is worth more than 1e-4 of the amount.
COARSE = 10_000
#: So many values of a level are bounded; where more could be better, those nearest to the real optimum.
WIDEST = 1_024
_WIDE = 256
_TRIES = 64
#: A float hop is off by less than this, relatively.
_HOP_ERROR = 1e-14
_RATE_ERROR = 4e-15
#: A profit within this part and so many base units of its bound is looked at no more closely, and rounding worth less
#: than _SMALL of it is ignored.
_GOOD = 1e-9
_GOOD_UNITS = 4
_SMALL = 1e-10
_NONE = (0, 0, 0)
#: In place of a size: this cycle must be sized with more care (`sizing.best_size`).
UNSURE = Size(0, 0)

Trade = tuple[int, int, int]


def sizes(
    cycles: Sequence[Sequence[Formula]], rates: Floats, bends: Floats, wanted: Floats, bounds: Floats
) -> list[Size | None]:
    """Each cycle's best size, None where no input gains a base unit; UNSURE where pools are near what they can hold.

    `rates` and `bends` are its hops in floats, one row a hop: out = rate*x / (1 + bend*x). `wanted` is the real curve's
    best input, which must be within every hop's capacity, and `bounds` what no input gains more than.
    """
    flows = np.empty((len(rates) + 1, len(cycles)))
    flows[0] = wanted
    for hop, (rate, bend) in enumerate(zip(rates, bends, strict=True)):
        flows[hop + 1] = rate * flows[hop] / (1 + bend * flows[hop])
    level = np.argmin(flows, axis=0)
    lowest = flows[level, np.arange(len(cycles))]
    amount, both, least = _plan(flows, bends, level, bounds)
    best = [
        _around(hops, at, value) if two else _value(hops, at, value)
        for hops, at, value, two in zip(
            cycles, level.tolist(), map(int, amount.tolist()), both.tolist(), strict=True
        )
    ]
    profits = np.array([trade[0] for trade in best], np.float64)
    doubtful = (lowest < COARSE) | (profits <= 0) | (bounds - profits > _GOOD * bounds + _GOOD_UNITS)
    closely = np.flatnonzero(doubtful & (np.maximum(profits, 0) + 1 <= bounds))
    if closely.size:
        _look_closely(cycles, best, rates, bends, wanted, closely, profits)
        least[closely] = False
    return [
        None if trade[0] <= 0 else Size(trade[1], trade[2]) if done else _least(hops, trade)
        for hops, trade, done in zip(cycles, best, least.tolist(), strict=True)
    ]


def _plan(
    flows: Floats, bends: Floats, level: NDArray[np.intp], bounds: Floats
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Where to try each cycle: (amount at `level`, whether the next one too, whether the input found is the least).

    At `level` the values differ by whole units, which costs more than what rounding at the other levels can give or
    take (`noise`), or that is too little to matter; only else are both neighbours of the optimum tried. The input that
    reaches a value is at once the least that gives the same output where one unit at `level` is surely seen at the
    end, and one unit of input surely moves `level` by no more than one.
    """
    hops = len(bends)
    slopes = flows[1:] / flows[:-1] / (1 + bends * flows[:-1])
    jump = np.ones(flows.shape[1])
    seen = np.ones(flows.shape[1])
    slope_up = np.ones(flows.shape[1])
    noise = np.zeros(flows.shape[1])
    least = np.ones(flows.shape[1], bool)
    for hop in range(hops):
        above = level > hop
        last = level == hop + 1
        step = slopes[hop] * jump
        least &= ~last | (step <= 0.99)
        jump = np.where(above, step + 1, jump)
        noise += np.where(above, 1 / slope_up, 0.0)
        slope_up = np.where(above, slope_up * slopes[hop], slope_up)
        step = slopes[hop] * seen
        least &= above | (step >= 1.01) if hop == hops - 1 else True
        seen = np.where(above, seen, step - 1)
        least &= above | (seen > 0) | (hop == hops - 1)
    worth = np.ones(flows.shape[1])
    for hop in range(hops - 1, -1, -1):
        noise += np.where(level <= hop, worth, 0.0)
        worth *= slopes[hop]
    at = flows[level, np.arange(flows.shape[1])]
    low = np.floor(at)
    part = at - low
    # The real profit falls by bend * (w - wanted)**2 / (1 + bend * w); one unit of `level` is 1/slope_up of w.
    bend = np.zeros(flows.shape[1])
    rate = np.ones(flows.shape[1])
    for hop in range(hops):
        first = flows[hop + 1] / flows[hop] * (1 + bends[hop] * flows[hop])
        bend += bends[hop] * rate
        rate *= first
    steepness = bend / (1 + bend * flows[0]) / (slope_up * slope_up)
    both = (np.abs(1 - 2 * part) * steepness < 2 * noise) & (noise > _SMALL * bounds)
    both |= at < COARSE
    least &= at >= COARSE
    amount = np.where(both | (part < 0.5), low, low + 1)
    return amount, both, least


def _value(hops: Sequence[Formula], level: int, amount: int) -> Trade:
    """(profit, input, output) of the trade that has `amount` at `level`; all 0 where it would not be done."""
    spent = given = amount
    for p, q, r, capacity in hops[level - 1 :: -1] if level else ():
        below = p - r * spent
        if below <= 0:
            return _NONE
        spent = -(-spent * q // below)
        if spent > capacity:
            return _NONE
    for p, q, r, capacity in hops[level:]:
        if given > capacity:
            return _NONE
        given = p * given // (q + r * given)
    return given - spent, spent, given


def _around(hops: Sequence[Formula], level: int, amount: int) -> Trade:
    if not amount:
        return _value(hops, level, 1)
    low, high = _value(hops, level, amount), _value(hops, level, amount + 1)
    # Of two that gain the same the lesser input.
    return high if high[0] > low[0] else low


def _least(hops: Sequence[Formula], trade: Trade) -> Size:
    """The least input that gives the trade's output, and what exactly it gives.

    UNSURE where a unit of input moves a later level by so much that a pool cannot take it.
    """
    amount = trade[2]
    for p, q, r, _ in hops[::-1]:
        amount = -(-amount * q // (p - r * amount))
    amount_in = amount
    for p, q, r, capacity in hops:
        if amount > capacity:
            return UNSURE
        amount = p * amount // (q + r * amount)
    return Size(amount_in, amount)


def _look_closely(
    cycles: Sequence[Sequence[Formula]],
    best: list[Trade],
    rates: Floats,
    bends: Floats,
    wanted: Floats,
    chosen: NDArray[np.intp],
    profits: Floats,
) -> None:
    """Put into `best` what is better anywhere on the coarsest level of each cycle chosen."""
    rates, bends, wanted = rates[:, chosen], bends[:, chosen], wanted[chosen]
    beaten = np.maximum(profits[chosen], 0) + 1
    some, low, high = _span(rates, bends, wanted, beaten)
    lows, highs = [low], [high]
    for rate, bend in zip(rates, bends, strict=True):
        lows.append(rate * lows[-1] / (1 + bend * lows[-1]))
        highs.append(rate * highs[-1] / (1 + bend * highs[-1]))
    low_at, high_at = np.array(lows), np.array(highs)
    level = np.argmin(high_at - low_at, axis=0)
    here = np.arange(len(chosen))
    wanted_at = wanted.copy()
    for hop, (rate, bend) in enumerate(zip(rates, bends, strict=True)):
        wanted_at = np.where(level > hop, rate * wanted_at / (1 + bend * wanted_at), wanted_at)
    widest = np.where(wanted_at < COARSE, 2 * COARSE, WIDEST)
    start = np.floor(np.maximum(low_at[level, here] * (1 - 1e-6), wanted_at - widest / 2))
    start = np.maximum(start, 1)
    stop = np.ceil(np.minimum(high_at[level, here] * (1 + 1e-6), wanted_at + widest / 2))
    width = np.where(some, stop - start + 1, 0)
    for at in np.flatnonzero(width > _WIDE).tolist():
        tops = _optimistic(rates[:, at], bends[:, at], np.arange(start[at], stop[at] + 1), int(level[at]))
        number, first = int(chosen[at]), int(start[at])
        trade = best[number]
        for _ in range(len(tops) if wanted_at[at] < COARSE else _TRIES):
            # The most promising is looked for anew each time: few are ever tried.
            place = int(np.argmax(tops))
            if tops[place] < beaten[at] or tops[place] <= trade[0]:
                break
            tops[place] = -np.inf
            other = _value(cycles[number], int(level[at]), first + place)
            if other[0] > trade[0]:
                trade = other
        best[number] = trade
    for at_level in range(len(rates) + 1):
        group = np.flatnonzero((level == at_level) & (width >= 1) & (width <= _WIDE))
        if not group.size:
            continue
        counts = width[group].astype(np.intp)
        owner = np.repeat(group, counts)
        values = start[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        tops = _optimistic(rates[:, owner], bends[:, owner], values, at_level)
        promising = np.flatnonzero(tops >= beaten[owner])
        # Each cycle's values together, the most promising first.
        promising = promising[np.lexsort((-tops[promising], owner[promising]))]
        owners, values, tops = chosen[owner[promising]], values[promising], tops[promising]
        cuts = np.flatnonzero(np.diff(owners)) + 1
        for number, first, last in zip(
            owners[np.append(0, cuts)].tolist() if len(owners) else (),
            [0, *cuts.tolist()],
            [*cuts.tolist(), len(owners)],
            strict=False,
        ):
            best[number] = _best_among(
                cycles[number], at_level, best[number], values[first:last].tolist(), tops[first:last].tolist()
            )


def _best_among(
    hops: Sequence[Formula], level: int, best: Trade, values: Sequence[float], tops: Sequence[float]
) -> Trade:
    """The best of `best` and the trades with these values at `level`, none of which gains more than its `tops`."""
    for value, top in zip(values, tops, strict=True):
        if best[0] >= top:
            break
        trade = _value(hops, level, int(value))
        if trade[0] > best[0]:
            best = trade
    return best


def _span(
    rates: Floats, bends: Floats, wanted: Floats, beaten: Floats
) -> tuple[NDArray[np.bool_], Floats, Floats]:
    """Whether the real profit reaches `beaten`, and between which inputs, a little wider than that."""
    rate, bend = np.ones(len(wanted)), np.zeros(len(wanted))
    for hop_rate, hop_bend in zip(rates, bends, strict=True):
        bend += hop_bend * rate
        rate *= hop_rate
    gain = rate - 1 + _RATE_ERROR * rate
    # (1 + gain)*w/(1 + bend*w) - w = beaten, as bend*w*w - b*w + beaten = 0.
    b = gain - bend * beaten
    square = b * b * (1 + 1e-12) - 4 * bend * beaten
    some = (square >= 0) & (b > 0)
    root = np.sqrt(np.where(some, square, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(some, 2 * beaten / (b + root), 0.0)
    high = np.where(some, (b + root) / (2 * bend), 0.0)
    return some, low, high


def _optimistic(rates: Floats, bends: Floats, values: Floats, level: int) -> Floats:
    """No less than the profit of each trade with one of `values` at `level`; `rates` and `bends` one row a hop."""
    spent, given = values, values
    with np.errstate(divide="ignore", invalid="ignore"):
        for rate, bend in zip(rates[:level][::-1], bends[:level][::-1], strict=True):
            below = rate * (1 + _HOP_ERROR) - bend * spent
            spent = np.where(below > 0, np.ceil(spent / below * (1 - _HOP_ERROR)), np.inf)
        for rate, bend in zip(rates[level:], bends[level:], strict=True):
            given = np.floor(rate * given / (1 + bend * given) * (1 + _HOP_ERROR))
    return given - spent
