"""How much to put into a cycle: closed form in floats to come near, exact integers to decide.

Each pool's curve is pieces of `out = p*in / (q + r*in)` (`Pool.stretches`), and so is their composition: with `a = p/q`
and `c = r/q` per hop, hops one after the other give `a = a1*a2`, `c = c1 + c2*a1`, and the profit a*x/(1 + c*x) - x is
greatest at x = (sqrt(a) - 1)/c, where it is (sqrt(a) - 1)**2 / c. A pool that leaves its stretch on the way starts the
next one, and the same form is solved again from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from arbtui.domain import Hop, HopAmount, Opportunity, Path
from arbtui.errors import UsageError
from arbtui.market import MarketState, Pool, Stretch
from arbtui.units import Address

#: A cycle is looked at where the sum of its hops' log marginal rates is above this. A float sum of three such logs is
#: off by less than 1e-13, so no cycle that pays is lost; what does not pay is refused by integers afterwards.
SCREEN_THRESHOLD = -1e-12

#: Within this of a rate of 1 the float rate is recomputed from exact integers.
_NEAR_ONE = 1e-9
#: A whole level of amounts is tried where it has no more values than this; otherwise neighbours are.
_TRY_ALL = 48
_NEIGHBOURS = (1, -1, 2, -2, 3, -3)
_MAX_ROUNDS = 12
_MAX_STRETCHES = 20_000

Leg = tuple[Pool, Address]


class Size(NamedTuple):
    """An input and the output that integer arithmetic gives for it, hop by hop."""

    amount_in: int
    amount_out: int

    @property
    def profit(self) -> int:
        return self.amount_out - self.amount_in


def log_rate(pool: Pool, token_in: Address) -> float:
    """Natural log of the marginal rate at the current price, fee included; -inf where the pool has no price."""
    numerator, denominator = pool.spot_ratio(token_in)
    if numerator <= 0 or denominator <= 0:
        return -math.inf
    return math.log(numerator / denominator) + math.log1p(-pool.fee_ppm / 1_000_000)


def size(path: Path, state: MarketState) -> Opportunity | None:
    """The best input of `path` at `state`, or None where no input gains a whole base unit.

    `amount_out` and each hop's amounts are what the pools' integer arithmetic gives; the input is the least that gives
    that output. Raises UsageError where a pool of the path is not in the state.
    """
    legs: list[Leg] = []
    for hop in path.hops:
        pool = state.pools.get(hop.pool)
        if pool is None:
            raise UsageError(f"pool {hop.pool} is not in the market at block {state.block.number}")
        legs.append((pool, hop.token_in))
    if sum(log_rate(pool, token_in) for pool, token_in in legs) <= SCREEN_THRESHOLD:
        return None
    best = best_size(legs)
    return None if best is None else opportunity(path.hops, legs, best, state)


def opportunity(hops: Sequence[Hop], legs: Sequence[Leg], best: Size, state: MarketState) -> Opportunity:
    """The opportunity that `best` is on these hops."""
    amounts = []
    amount = best.amount_in
    for hop, (pool, token_in) in zip(hops, legs, strict=True):
        swap = pool.swap_exact_in(token_in, amount)
        amounts.append(HopAmount(hop, amount, swap.amount_out, math.ceil(swap.price_impact_bps)))
        amount = swap.amount_out
    path = Path(tuple(hops))
    token = state.token(hops[0].token_in)
    return Opportunity(path, token, best.amount_in, amount, tuple(amounts), state.block)


def best_size(legs: Sequence[Leg]) -> Size | None:
    """The most profitable input found for the closed cycle `legs`; None where none gains a base unit."""
    first = _Curve.start(legs)
    if first is None or first.gain <= 0:
        return None
    step = math.sqrt(1 + first.gain)
    wanted = first.gain / (1 + step) / first.c
    one_stretch = wanted <= first.limit
    # Integer rounding only ever takes, so the curve's own optimum bounds what integers can gain.
    if one_stretch and (first.gain / (1 + step)) ** 2 / first.c < 0.999:
        return None
    start = wanted if one_stretch else _walk(legs)
    return _polish(legs, max(1, int(start)), first if one_stretch else None)


class _Curve:
    """The composition of the hops' current stretches: out = a*x / (1 + c*x), good up to x = `limit`."""

    __slots__ = ("a", "c", "gain", "limit", "limiting")

    def __init__(self, pieces: Sequence[tuple[float, float, float]], exact: Sequence[Stretch] | None) -> None:
        a, c = 1.0, 0.0
        limit, limiting = math.inf, -1
        for number, (piece_a, piece_c, capacity) in enumerate(pieces):
            if capacity != math.inf:
                # The input of the cycle whose image before this hop is the hop's capacity.
                reach = a - c * capacity
                at = capacity / reach if reach > 0 else math.inf
                if at < limit:
                    limit, limiting = at, number
            a, c = piece_a * a, c + piece_c * a
        self.a, self.c = a, c
        self.gain = a - 1
        self.limit, self.limiting = limit, limiting
        if exact is not None and abs(self.gain) < _NEAR_ONE:
            top = math.prod(piece.p for piece in exact)
            bottom = math.prod(piece.q for piece in exact)
            self.gain = (top - bottom) / bottom

    @classmethod
    def start(cls, legs: Sequence[Leg]) -> _Curve | None:
        firsts = []
        for pool, token_in in legs:
            stretch = next(pool.stretches(token_in), None)
            if stretch is None:
                return None
            firsts.append(stretch)
        return cls([_floats(stretch) for stretch in firsts], firsts)

    def inputs_with(self, profit: int) -> tuple[float, float] | None:
        """The interval of inputs whose real profit is at least `profit`."""
        b = self.gain - self.c * profit
        square = b * b - 4 * self.c * profit
        if b <= 0 or square < 0:
            return None
        root = math.sqrt(square)
        # The lower root as a quotient: the difference b - root would cancel.
        return 2 * profit / (b + root), (b + root) / (2 * self.c)


def _floats(stretch: Stretch) -> tuple[float, float, float]:
    capacity = math.inf if stretch.capacity is None else float(stretch.capacity)
    return stretch.p / stretch.q, stretch.r / stretch.q, capacity


def _walk(legs: Sequence[Leg]) -> float:
    """The real optimum across the stretches of all hops, from the current prices outwards."""
    ways: list[Iterator[Stretch]] = [pool.stretches(token_in) for pool, token_in in legs]
    pieces = [_floats(next(way)) for way in ways]
    total = 0.0
    for _ in range(_MAX_STRETCHES):
        curve = _Curve(pieces, None)
        if curve.gain <= 0:
            break
        wanted = curve.gain / (1 + math.sqrt(curve.a)) / curve.c
        if wanted <= curve.limit:
            total += wanted
            break
        total += curve.limit
        flow = curve.limit
        for number, (a, c, capacity) in enumerate(pieces):
            if number == curve.limiting:
                following = next(ways[number], None)
                if following is None:
                    return total
                pieces[number] = _floats(following)
            else:
                scale = 1 + c * flow
                pieces[number] = (a / (scale * scale), c / scale, max(capacity - flow, 0.0))
            flow = a * flow / (1 + c * flow)
    return total


def _forward(legs: Sequence[Leg], amount: int) -> int:
    """What comes out of `legs` for `amount`; 0 where a pool would not swap it."""
    for pool, token_in in legs:
        amount = pool.quote_out(token_in, amount)
        if amount == 0:
            return 0
    return amount


def _backward(legs: Sequence[Leg], amount: int) -> int:
    """The least input of `legs` that gives at least `amount`; 0 where none does."""
    for pool, token_in in reversed(legs):
        amount = pool.least_in(token_in, amount)
        if amount == 0:
            return 0
    return amount


def _trimmed(legs: Sequence[Leg], amount_in: int) -> Size | None:
    """`amount_in` lowered to the least input that gives the same output."""
    amount_out = _forward(legs, amount_in)
    if not amount_out:
        return None
    least = _backward(legs, amount_out)
    if not 0 < least <= amount_in:
        return Size(amount_in, amount_out)
    given = _forward(legs, least)
    return Size(least, given) if given >= amount_out else Size(amount_in, amount_out)


def _through(legs: Sequence[Leg], level: int, amount: int) -> Size | None:
    """The best trade that has `amount` between hop `level` and the next: least input before, all output after."""
    amount_in = _backward(legs[:level], amount)
    if amount_in <= 0:
        return None
    return Size(amount_in, _forward(legs, amount_in))


def _polish(legs: Sequence[Leg], start: int, curve: _Curve | None) -> Size | None:
    """From the float optimum to the integers' own, or next to it.

    A trade is named by the amount at any one level between hops: the least input before it, all output after it. Where
    some level has few values within reach of a better profit, all are tried, and the result is the optimum itself.
    """
    start = _within_reach(legs, start)
    best = _trimmed(legs, start) if start else None
    if curve is not None:
        span = curve.inputs_with(max(best.profit if best else 0, 0) + 1)
        if span is None:
            return best if best and best.profit > 0 else None
        tried = _try_all(legs, span, best)
        if tried is not None:
            best = tried
            return best if best.profit > 0 else None
    if best is None:
        return None
    best = _climb(legs, best)
    return best if best.profit > 0 else None


def _within_reach(legs: Sequence[Leg], start: int) -> int:
    """`start`, or where a pool runs dry before it the greatest input that all pools still take whole."""
    if _forward(legs, start):
        return start
    low, high = 0, start
    for cut in (1, 2, 4, 16, 256, 65_536):
        attempt = start - max(start >> 40, 1) * cut
        if attempt > 0 and _forward(legs, attempt):
            low = attempt
            break
    while high - low > 1:
        middle = (low + high) // 2
        if _forward(legs, middle):
            low = middle
        else:
            high = middle
    return low


def _try_all(legs: Sequence[Leg], span: tuple[float, float], best: Size | None) -> Size | None:
    """The best of every value at the level with the fewest, within `span`; None where all have too many."""
    low, high = max(int(span[0]) - 1, 1), int(span[1]) + 2
    level, bounds = 0, (low, high)
    lowest, highest = low, high
    for number, (pool, token_in) in enumerate(legs, start=1):
        lowest = pool.quote_out(token_in, lowest)
        highest = pool.quote_out(token_in, highest)
        if highest == 0:
            break
        if highest - lowest < bounds[1] - bounds[0]:
            level, bounds = number, (max(lowest, 1), highest)
    if bounds[1] - bounds[0] > _TRY_ALL:
        return None
    found = best or Size(low, 0)
    for amount in range(bounds[0], bounds[1] + 1):
        attempt = _through(legs, level, amount)
        if attempt is not None and attempt.profit > found.profit:
            found = attempt
    trimmed = _trimmed(legs, found.amount_in)
    return trimmed if trimmed is not None and trimmed.profit > found.profit else found


def _climb(legs: Sequence[Leg], best: Size) -> Size:
    """Move to a better neighbour at any level while there is one."""
    for _ in range(_MAX_ROUNDS):
        before = best
        amount = best.amount_in
        levels = [amount]
        for pool, token_in in legs:
            amount = pool.quote_out(token_in, amount)
            levels.append(amount)
        for level in range(1, len(levels)):
            for offset in _NEIGHBOURS:
                if levels[level] + offset <= 0:
                    continue
                attempt = _through(legs, level, levels[level] + offset)
                if attempt is not None and attempt.profit > best.profit:
                    best = attempt
        if best is before:
            break
    return _trimmed(legs, best.amount_in) or best
