"""Screen every cycle of a market, size those that may pay, best first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from arbtui.domain import Hop, Opportunity
from arbtui.market import MarketState, Pool
from arbtui.search.curve import Leg
from arbtui.search.cycles import CycleIndex, edge_ends, enumerate_cycles
from arbtui.search.sizing import SCREEN_THRESHOLD, Size, best_size, log_rate, opportunity
from arbtui.units import Address

Timer = Callable[[], float]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Opportunities grouped by base token in the order asked, best gross profit first within each.

    `cycles` counts the directed cycles screened, `paying` those with a whole base unit of profit; `elapsed` is seconds
    for "index", "screen" and "size".
    """

    opportunities: tuple[Opportunity, ...]
    cycles: int
    paying: int
    elapsed: Mapping[str, float]


class Finder:
    """Finds opportunities block by block; the cycle index is kept while the set of pools stays the same.

    `top` keeps so many of each base token; `timer` gives seconds.
    """

    def __init__(
        self,
        bases: Sequence[Address],
        max_hops: int = 2,
        top: int | None = None,
        timer: Timer = time.perf_counter,
    ) -> None:
        self._bases = tuple(bases)
        self._max_hops = max_hops
        self._top = top
        self._timer = timer
        self._index: CycleIndex | None = None
        self._pools: list[Pool | None] = []
        self._rates: list[float] = []
        self._used: list[int] = []

    def find(self, state: MarketState) -> SearchResult:
        """All cycles through the base tokens that pay at `state`, before loan fee and gas."""
        began = self._timer()
        index = self._indexed(state)
        indexed = self._timer()
        pools, rates = self._priced(state)
        hits = [
            (base, [*_screened(rates, twos, 2), *_screened(rates, threes, 3)])
            for base, twos, threes in index.groups
        ]
        screened = self._timer()
        found: list[Opportunity] = []
        paying = 0
        legs = _Legs(pools)
        for _, cycles in hits:
            sized: list[tuple[int, int, int, tuple[int, ...], Size]] = []
            for number, cycle in enumerate(cycles):
                ready = legs.of(cycle)
                best = best_size(ready) if ready else None
                if best is not None:
                    sized.append((-best.profit, best.amount_in, number, cycle, best))
            paying += len(sized)
            sized.sort()
            found += [
                opportunity(_hops(pools, cycle), legs.of(cycle), best, state)
                for _, _, _, cycle, best in sized[: self._top]
            ]
        done = self._timer()
        elapsed = {"index": indexed - began, "screen": screened - indexed, "size": done - screened}
        return SearchResult(tuple(found), index.count, paying, elapsed)

    def _indexed(self, state: MarketState) -> CycleIndex:
        index = self._index
        if index is None or index.pools != tuple(state.pools):
            index = self._index = enumerate_cycles(state, self._bases, self._max_hops)
            self._pools = [None] * len(index.pools)
            self._rates = [0.0] * (2 * len(index.pools))
            edges = chain.from_iterable(
                chain(chain.from_iterable(twos), chain.from_iterable(threes))
                for _, twos, threes in index.groups
            )
            self._used = sorted({edge >> 1 for edge in edges})
        return index

    def _priced(self, state: MarketState) -> tuple[list[Pool], list[float]]:
        """The pools as numbered, and the log rate of every edge; only what changed is computed anew."""
        pools = list(state.pools.values())
        for number in self._used:
            pool = pools[number]
            if self._pools[number] is not pool:
                self._pools[number] = pool
                self._rates[2 * number] = log_rate(pool, pool.token0)
                self._rates[2 * number + 1] = log_rate(pool, pool.token1)
        return pools, self._rates


def find_opportunities(
    state: MarketState,
    bases: Sequence[Address],
    max_hops: int = 2,
    top: int | None = None,
    timer: Timer = time.perf_counter,
) -> SearchResult:
    """Every cycle of up to `max_hops` (2 or 3) hops through `bases` that pays at `state`, sized exactly.

    `top` keeps the best so many of each base token. Raises UsageError for another number of hops.
    """
    return Finder(bases, max_hops, top, timer).find(state)


def _screened(rates: Sequence[float], cycles: Iterable[tuple[int, ...]], hops: int) -> list[tuple[int, ...]]:
    # Written out for each length: this loop runs over every cycle of the market.
    if hops == 2:
        return [cycle for cycle in cycles if rates[cycle[0]] + rates[cycle[1]] > SCREEN_THRESHOLD]
    return [
        cycle for cycle in cycles if rates[cycle[0]] + rates[cycle[1]] + rates[cycle[2]] > SCREEN_THRESHOLD
    ]


class _Legs:
    """Each edge's leg, made once a block."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = pools
        self._made: dict[int, Leg | None] = {}

    def of(self, cycle: tuple[int, ...]) -> list[Leg]:
        """The cycle's legs; none where one of its pools has nothing to trade."""
        made = self._made
        legs = []
        for edge in cycle:
            if edge not in made:
                pool = self._pools[edge >> 1]
                made[edge] = Leg.of(pool, edge_ends(pool, edge & 1)[0])
            leg = made[edge]
            if leg is None:
                return []
            legs.append(leg)
        return legs


def _hops(pools: Sequence[Pool], cycle: tuple[int, ...]) -> tuple[Hop, ...]:
    hops = []
    for edge in cycle:
        pool = pools[edge >> 1]
        token_in, token_out = edge_ends(pool, edge & 1)
        hops.append(Hop(pool.address, pool.dex, pool.kind, pool.fee_ppm, token_in, token_out))
    return tuple(hops)
