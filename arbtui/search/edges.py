"""Every edge's curve in floats, all in arrays, and the greatest profit of many cycles at once.

The floats only say which cycles cannot pay and which come first; what is returned is decided by integers. How far
they may be off, and why nothing is lost by it, is argued in docs/search.md:

- An edge's rate carries at most five roundings, a product of four such rates at most 23: a relative error below
  23 * 2**-53 < 2.6e-15. A cycle that pays has a real rate above 1, so its float rate is above `1 - RATE_ERROR`.
- Where the float rate is within `NEAR_ONE` of 1 it is computed again from the integers, rounded once.
- A bound is the real curve's greatest profit, raised by its relative error and by 0.001 of a base unit. Integer
  rounding only ever takes, so no input gains more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbtui.market import Pool, UniswapV2Pool
from arbtui.market.uniswap_v2 import MAX_RESERVE
from arbtui.search.batch import UNSURE, Formula, sizes
from arbtui.search.curve import Leg, peak
from arbtui.search.cycles import Ints, edge_ends
from arbtui.search.sizing import Size, best_size
from arbtui.units import PPM

Floats = NDArray[np.float64]

#: A float rate of a cycle is at most so far from the real one, relatively.
RATE_ERROR = 4e-15
#: A cycle is looked at where its float rate is above 1 less this.
MARGIN = 1e-12
NEAR_ONE = 1e-9
#: Of what else a bound is made of: a few roundings more.
_BEND_ERROR = 1e-11


class Optima(NamedTuple):
    """By cycle: the real curve's best input, and what no input gains more than, 0 where that is no base unit.

    `inside`: the best input lies within every hop's first stretch.
    """

    wanted: Floats
    bound: Floats
    inside: NDArray[np.bool_]


class Edges:
    """The curves of `2 * len(pools)` edges: out = a*x / (1 + c*x) up to `capacity`, a rate of 0 where nothing trades.

    `rates` is what a screen reads. What sizing needs of an edge is made when it is first asked for.
    """

    def __init__(self, count: int) -> None:
        self.pools: list[Pool | None] = [None] * count
        self.rates: Floats = np.zeros(2 * count)
        self.bends: Floats = np.zeros(2 * count)
        self._capacities: Floats = np.zeros(2 * count)
        self._formulas: list[Formula | None] = [None] * (2 * count)
        self._legs: dict[int, Leg | None] = {}

    def put(self, numbers: Iterable[int], pools: Iterable[Pool]) -> None:
        """The pools so numbered are now these."""
        pairs: list[int] = []
        reserves: list[tuple[int, int, int]] = []
        for number, pool in zip(numbers, pools, strict=True):
            self.pools[number] = pool
            for edge in (2 * number, 2 * number + 1):
                self._formulas[edge] = None
                self._legs.pop(edge, None)
            if type(pool) is UniswapV2Pool:
                pairs.append(2 * number)
                reserves.append((pool.reserve0, pool.reserve1, PPM - pool.fee_ppm))
            else:
                self._put_curve(2 * number)
                self._put_curve(2 * number + 1)
        if pairs:
            self._put_reserves(np.array(pairs, np.intp), np.array(reserves, np.float64))

    def _put_curve(self, edge: int) -> None:
        leg = self.leg(edge)
        found = (0.0, 0.0, 0.0) if leg is None else (leg.a, leg.c, leg.capacity)
        self.rates[edge], self.bends[edge], self._capacities[edge] = found

    def _put_reserves(self, edges: NDArray[np.intp], rows: Floats) -> None:
        first, second, kept = rows[:, 0], rows[:, 1], rows[:, 2] / PPM
        alive = (first > 0) & (second > 0)
        for at, r_in, r_out in ((edges, first, second), (edges + 1, second, first)):
            safe = np.where(alive, r_in, 1.0)
            self.rates[at] = np.where(alive, r_out / safe * kept, 0.0)
            self.bends[at] = kept / safe
            self._capacities[at] = np.maximum(MAX_RESERVE - r_in, 0.0)

    def leg(self, edge: int) -> Leg | None:
        """The edge for the careful way of sizing; None where nothing can be traded."""
        if edge not in self._legs:
            pool = self.pools[edge >> 1]
            assert pool is not None  # noqa: S101 - only edges of pools that were put are asked for
            self._legs[edge] = Leg.of(pool, edge_ends(pool, edge & 1)[0])
        return self._legs[edge]

    def formulas(self, edges: Ints) -> list[Formula | None]:
        """By edge: (p, q, r, capacity) where the output is p*x // (q + r*x) for all x up to capacity.

        Made for `edges`; None at an edge that is no such formula, or was never asked for.
        """
        made, pools = self._formulas, self.pools
        for edge in np.unique(edges).tolist():
            if made[edge] is not None:
                continue
            pool = pools[edge >> 1]
            if type(pool) is UniswapV2Pool:
                r_in, r_out = pool.reserve0, pool.reserve1
                if edge & 1:
                    r_in, r_out = r_out, r_in
                if r_in > 0 and r_out > 0:
                    kept, whole = _lowest_terms(pool.fee_ppm)
                    made[edge] = (r_out * kept, r_in * whole, kept, MAX_RESERVE - r_in)
            elif (leg := self.leg(edge)) is not None and leg.stretch.exact:
                made[edge] = leg.stretch[:4]
        return made

    def legs(self, cycle: Sequence[int]) -> list[Leg]:
        """The cycle's legs; none where one of its pools has nothing to trade."""
        legs = [self.leg(edge) for edge in cycle]
        return [leg for leg in legs if leg is not None] if all(legs) else []

    def hits(self, edges: Ints) -> NDArray[np.intp]:
        """Positions of the cycles whose rate may be above 1; `edges` is one row a hop."""
        rates = self.rates
        product = rates[edges[0]]
        for row in edges[1:]:
            product *= rates[row]
        return np.flatnonzero(product > 1 - MARGIN)

    def optima(self, edges: Ints) -> Optima:
        """The real curve's optimum of each cycle; `edges` is one row a hop."""
        rate = np.ones(edges.shape[1])
        bend = np.zeros(edges.shape[1])
        limit = np.full(edges.shape[1], np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            for row in edges:
                capacity = self._capacities[row]
                # The input of the cycle whose image before this hop is the hop's capacity.
                reach = rate - bend * capacity
                limit = np.where(reach > 0, np.minimum(limit, capacity / reach), limit)
                bend += self.bends[row] * rate
                rate *= self.rates[row]
            gain = rate - 1
            for at in np.flatnonzero(np.abs(gain) < NEAR_ONE).tolist():
                gain[at] = self._exact_gain(edges[:, at].tolist())
            np.maximum(gain, 0, out=gain)
            factor = gain / (1 + np.sqrt(1 + gain))
            wanted = np.where(gain > 0, factor / bend, 0.0)
            # Twice the rate's error, since the profit goes with the gain squared.
            error = np.where(gain < NEAR_ONE, 0.0, 2 * RATE_ERROR * (1 + gain) / gain)
        bound = factor * wanted * (1 + _BEND_ERROR + error) + 0.001
        inside = wanted <= limit
        for at in np.flatnonzero(~inside).tolist():
            wanted[at], bound[at] = self._beyond(edges[:, at].tolist())
        bound[bound < 1] = 0
        return Optima(wanted, bound, inside)

    def sizes(self, edges: Ints) -> list[Size | None]:
        """The best exact size of each cycle, None where no input gains a base unit; `edges` is one row a hop.

        A cycle's answer does not depend on what else is asked with it.
        """
        wanted, bound, inside = self.optima(edges)
        formulas = self.formulas(edges)
        hops = list(zip(*([formulas[edge] for edge in row] for row in edges.tolist()), strict=True))
        found: list[Size | None] = [None] * len(hops)
        plain: list[int] = []
        cycles: list[tuple[Formula, ...]] = []
        for at, (cycle, top, within) in enumerate(zip(hops, bound.tolist(), inside.tolist(), strict=True)):
            if not top:
                continue
            if within and None not in cycle:
                plain.append(at)
                cycles.append(cycle)
            elif legs := self.legs(edges[:, at].tolist()):
                found[at] = best_size(legs)
        if plain:
            chosen = edges[:, plain]
            sized = sizes(cycles, self.rates[chosen], self.bends[chosen], wanted[plain], bound[plain])
            for at, size in zip(plain, sized, strict=True):
                found[at] = best_size(self.legs(edges[:, at].tolist())) if size is UNSURE else size
        return found

    def _exact_gain(self, cycle: Sequence[int]) -> float:
        legs = self.legs(cycle)
        if not legs:
            return 0.0
        bottom = math.prod(leg.stretch.q for leg in legs)
        return (math.prod(leg.stretch.p for leg in legs) - bottom) / bottom

    def _beyond(self, cycle: Sequence[int]) -> tuple[float, float]:
        """As `optima`, for a cycle that leaves some pool's first stretch."""
        legs = self.legs(cycle)
        if not legs:
            return 0.0, 0.0
        wanted, profit = peak(legs)
        return wanted, profit + 1e-9 * abs(profit) + 1e-12 * wanted + 0.001


@cache
def _lowest_terms(fee_ppm: int) -> tuple[int, int]:
    """(kept, whole) of what a fee leaves: the smaller the integers, the faster the arithmetic."""
    shared = math.gcd(PPM, fee_ppm)
    return (PPM - fee_ppm) // shared, PPM // shared
