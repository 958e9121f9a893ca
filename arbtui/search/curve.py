"""A cycle's profit as a real function of its input, in floats: where it is greatest, and where it is enough.

Each pool's curve is pieces of `out = p*x / (q + r*x)` (`Pool.stretches`), and so is their composition: with `a = p/q`
and `c = r/q` per hop, hops one after the other give `a = a1*a2`, `c = c1 + c2*a1`, and the profit a*x/(1 + c*x) - x is
greatest at x = (sqrt(a) - 1)/c, where it is (sqrt(a) - 1)**2 / c. A pool that leaves its stretch on the way starts the
next one, and the same form is solved again from there. Integer rounding only ever takes from these figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from arbtui.market import Stretch
from arbtui.units import Address

#: Within this of a rate of 1 the float rate is recomputed from exact integers.
_NEAR_ONE = 1e-9
_MAX_PIECES = 20_000
#: Below this a capacity's rounding to a whole unit is more than floats' own.
_FEW_UNITS = 1e9


class Given(Protocol):
    """What a swap gave."""

    @property
    def amount_out(self) -> int: ...


class Curved(Protocol):
    """What sizing asks of a hop: these of a `Pool`'s methods."""

    def swap_exact_in(self, token_in: Address, amount_in: int) -> Given: ...
    def quote_out(self, token_in: Address, amount_in: int) -> int: ...
    def least_in(self, token_in: Address, amount_out: int) -> int: ...
    def stretches(self, token_in: Address) -> Iterator[Stretch]: ...


class Leg:
    """A hop ready for sizing: its pool and token, and its first stretch in integers and in floats."""

    __slots__ = ("a", "c", "capacity", "pool", "stretch", "token_in")

    def __init__(self, pool: Curved, token_in: Address, stretch: Stretch, following: Stretch | None) -> None:
        self.pool = pool
        self.token_in = token_in
        self.stretch = stretch
        self.a, self.c, self.capacity = _floats(stretch, following)

    @classmethod
    def of(cls, pool: Curved, token_in: Address) -> Leg | None:
        """None where nothing can be traded."""
        stretches = pool.stretches(token_in)
        stretch = next(stretches, None)
        return None if stretch is None else cls(pool, token_in, stretch, next(stretches, None))


class Piece(NamedTuple):
    """The composition from a point on: `spent` and `got` so far, then out = a*w / (1 + c*w) up to w = `limit`."""

    spent: float
    got: float
    a: float
    c: float
    limit: float

    @property
    def wanted(self) -> float:
        """The step to the greatest profit; 0 or less where it lies behind."""
        return (self.a - 1) / (1 + math.sqrt(self.a)) / self.c


def _floats(stretch: Stretch, following: Stretch | None) -> tuple[float, float, float]:
    """(a, c, capacity) of a stretch.

    Its capacity is rounded up to a whole unit. Where it is few units that is far beyond the stretch's end, and the
    curve would fall below the real one: the stretch is left at the latest where the following one is no worse.
    """
    a, c, capacity = stretch.p / stretch.q, stretch.r / stretch.q, float(stretch.capacity)
    if following is not None and capacity < _FEW_UNITS:
        # a / (1 + c*x)**2 is the rate at x.
        capacity = min(capacity, max((math.sqrt(a / (following.p / following.q)) - 1) / c, 0.0))
    return a, c, capacity


def in_floats(pool: Curved, token_in: Address) -> Iterator[tuple[float, float, float]]:
    """Every stretch of a pool in floats: (a, c, capacity)."""
    stretches = pool.stretches(token_in)
    stretch = next(stretches, None)
    while stretch is not None:
        following = next(stretches, None)
        yield _floats(stretch, following)
        stretch = following


def first_piece(legs: Sequence[Leg]) -> tuple[float, float, float, float]:
    """(rate - 1, a, c, limit) of the composition at the current prices; the first is exact near 0."""
    a, c, limit = 1.0, 0.0, math.inf
    for leg in legs:
        # The input of the cycle whose image before this hop is the hop's capacity.
        reach = a - c * leg.capacity
        if reach > 0 and leg.capacity < limit * reach:
            limit = leg.capacity / reach
        c += leg.c * a
        a *= leg.a
    gain = a - 1
    if -_NEAR_ONE < gain < _NEAR_ONE:
        top = math.prod(leg.stretch.p for leg in legs)
        bottom = math.prod(leg.stretch.q for leg in legs)
        gain = (top - bottom) / bottom
    return gain, a, c, limit


def pieces(legs: Sequence[Leg]) -> Iterator[Piece]:
    """The composition from the current prices outwards, piece by piece, the last where some pool has run dry."""
    ways = [in_floats(leg.pool, leg.token_in) for leg in legs]
    parts = [next(way) for way in ways]
    spent = got = 0.0
    for _ in range(_MAX_PIECES):
        a, c, limit, limiting = 1.0, 0.0, math.inf, -1
        for number, (part_a, part_c, capacity) in enumerate(parts):
            reach = a - c * capacity
            if reach > 0 and capacity < limit * reach:
                limit, limiting = capacity / reach, number
            c += part_c * a
            a *= part_a
        yield Piece(spent, got, a, c, limit)
        if limiting < 0:
            return
        spent += limit
        flow = limit
        for number, (part_a, part_c, capacity) in enumerate(parts):
            if number == limiting:
                following = next(ways[number], None)
                if following is None:
                    # From here more input is wasted. Integers may still need it: what they round away on the way
                    # keeps a later hop within its capacity.
                    yield Piece(spent, got + _rest(parts, number, flow), 0.0, 1.0, math.inf)
                    return
                parts[number] = following
            else:
                scale = 1 + part_c * flow
                parts[number] = (part_a / (scale * scale), part_c / scale, max(capacity - flow, 0.0))
            flow = part_a * flow / (1 + part_c * flow)
        got += flow


def _rest(parts: Sequence[tuple[float, float, float]], number: int, flow: float) -> float:
    """What `flow` into hop `number` gives at the end of the cycle."""
    for a, c, _ in parts[number:]:
        flow = a * flow / (1 + c * flow)
    return flow


def peak(legs: Sequence[Leg]) -> tuple[float, float]:
    """(input, profit) where the real profit across all stretches is greatest."""
    end = profit = 0.0
    for piece in pieces(legs):
        wanted = piece.wanted
        if wanted <= piece.limit:
            step = max(wanted, 0.0)
            return piece.spent + step, piece.got - piece.spent + step * (piece.a / (1 + piece.c * step) - 1)
        end = piece.spent + piece.limit
        profit = piece.got - piece.spent + piece.limit * (piece.a / (1 + piece.c * piece.limit) - 1)
    return end, profit


def inputs_with(legs: Sequence[Leg], profit: int) -> tuple[float, float] | None:
    """The interval of inputs whose real profit is at least `profit`; None where there is none."""
    low: float | None = None
    high = 0.0
    for piece in pieces(legs):
        missing = profit - (piece.got - piece.spent)
        found = roots(piece.a - 1, piece.c, missing)
        if found is None or found[0] > piece.limit:
            if low is not None:
                break
            if found is None and piece.wanted <= piece.limit:
                return None
            continue
        if low is None:
            low = piece.spent + max(found[0], 0.0)
        high = piece.spent + min(found[1], piece.limit)
        if found[1] <= piece.limit:
            break
    return None if low is None else (low, high)


def roots(gain: float, c: float, profit: float) -> tuple[float, float] | None:
    """Where (1 + gain)*w/(1 + c*w) - w equals `profit`, lower and upper; None where it is less everywhere ahead."""
    b = gain - c * profit
    square = b * b - 4 * c * profit
    if square < 0:
        return None
    root = math.sqrt(square)
    if b <= 0:
        upper = -2 * profit / (root - b) if root > b else 0.0
        return None if profit > 0 else (0.0, max(upper, 0.0))
    # The lower root as a quotient: the difference b - root would cancel.
    return 2 * profit / (b + root), (b + root) / (2 * c)
