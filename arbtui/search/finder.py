"""Screen every cycle of a market, size those that may pay, best first; of a next block, only what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from arbtui.domain import Opportunity, Path
from arbtui.errors import UsageError
from arbtui.market import MarketState
from arbtui.search.cycles import CORE_CYCLES, CORE_POOLS, CycleIndex, Ints, Part, enumerate_cycles
from arbtui.search.edges import Edges
from arbtui.search.result import Mismatch, Opportunities, SearchResult, opportunity
from arbtui.search.sizing import Size
from arbtui.units import Address

Timer = Callable[[], float]

#: Every so many calls with `changed` a full pass checks what the increments came to.
CHECK_EVERY = 100
#: Where only the best are sized, so many candidates for each of them are kept in sight between calls.
_IN_SIGHT = 16


class Finder:
    """Finds opportunities block by block; index, rates, bounds and sizes are kept from one call to the next.

    `top` keeps so many of each base token. With `size_all` False no more is sized than the best `top` need: they are
    still exactly those that sizing everything would give. Each `check_every`th call with `changed` is checked by a
    full pass. `core_pools` and `core_cycles` bound the four-hop cycles; `timer` gives seconds.
    """

    def __init__(
        self,
        bases: Sequence[Address],
        max_hops: int = 2,
        top: int | None = None,
        timer: Timer = time.perf_counter,
        *,
        size_all: bool = True,
        check_every: int = CHECK_EVERY,
        core_pools: int = CORE_POOLS,
        core_cycles: int = CORE_CYCLES,
    ) -> None:
        if top is None and not size_all:
            raise UsageError("to size only the best, say how many (top)")
        self._bases = tuple(bases)
        self._max_hops = max_hops
        self._top = top
        self._timer = timer
        self._size_all = size_all
        self._check_every = check_every
        self._core = (core_pools, core_cycles)
        self._index: CycleIndex | None = None
        self._since_check = 0
        self._sight: dict[Address, float] = {}

    def find(self, state: MarketState, changed: Collection[Address] | None = None) -> SearchResult:
        """All cycles through the base tokens that pay at `state`, before loan fee and gas.

        With `changed` only these pools may differ from the state of the call before, and there must be the same
        pools: then only the cycles through them are screened and sized again, and the answer is as complete as that of
        a full pass, which None asks for. A difference that was not named is found by the next check, or not at all.
        """
        began = self._timer()
        index = self._index
        mismatch: Mismatch | None = None
        before: dict[int, Size | None] = {}
        if index is None or changed is None or not self._fits(index, state, changed):
            if index is None or index.pools != tuple(state.pools):
                index = self._index = enumerate_cycles(state, self._bases, self._max_hops, *self._core)
            indexed = self._timer()
            self._start(index, state)
            screened = index.count
        else:
            indexed = self._timer()
            screened = self._advance(index, state, changed)
            self._since_check += 1
            if self._since_check >= self._check_every:
                wrong, drifted, before = self._check(index, state)
                screened = index.count
                mismatch = Mismatch(wrong, drifted) if wrong or drifted else None
        priced = self._timer()
        found, paying = self._ranked(index)
        if before:
            drifted = sum(self._sizes.get(cycle, size) != size for cycle, size in before.items())
            if drifted:
                pools = mismatch.pools if mismatch else ()
                mismatch = Mismatch(pools, max(drifted, mismatch.cycles if mismatch else 0))
        done = self._timer()
        return SearchResult(
            Opportunities(state, index, found),
            index.count,
            paying,
            {"index": indexed - began, "screen": priced - indexed, "size": done - priced},
            screened,
            self._size_all,
            mismatch,
        )

    def _fits(self, index: CycleIndex, state: MarketState, changed: Collection[Address]) -> bool:
        numbers = index.numbers
        return len(state.pools) == len(index.pools) and all(address in numbers for address in changed)

    def _start(self, index: CycleIndex, state: MarketState) -> None:
        """Everything from the pools alone."""
        self._edges, self._bounds = _screened(index, state)
        self._sizes: dict[int, Size | None] = {}
        self._since_check = 0

    def _advance(self, index: CycleIndex, state: MarketState, changed: Collection[Address]) -> int:
        """Screen the cycles through the pools that changed; how many those are."""
        numbers = [index.numbers[address] for address in changed]
        used = index.is_used
        numbers = [number for number in numbers if used[number]]
        self._edges.put(numbers, [state.pools[index.pools[number]] for number in numbers])
        touched = index.touching(numbers)
        for part, cycles in _by_part(index, touched):
            self._bounds[cycles] = _bounds(self._edges, part.edges[:, cycles - part.first])
        sizes = self._sizes
        if len(touched) < len(sizes):
            for cycle in touched.tolist():
                sizes.pop(cycle, None)
        else:
            for cycle in sizes.keys() & set(touched.tolist()):
                del sizes[cycle]
        return len(touched)

    def _check(
        self, index: CycleIndex, state: MarketState
    ) -> tuple[tuple[Address, ...], int, dict[int, Size | None]]:
        """Start anew; the pools that had changed unnamed, the bounds that differ, and the sizes as they were."""
        pools, bounds, sizes = self._edges.pools, self._bounds, self._sizes
        wrong = tuple(
            index.pools[number]
            for number in index.used
            if pools[number] is not (now := state.pools[index.pools[number]]) and pools[number] != now
        )
        self._start(index, state)
        return wrong, int(np.count_nonzero(bounds != self._bounds)), sizes

    def _ranked(self, index: CycleIndex) -> tuple[list[tuple[int, Size]], int]:
        """(cycle, size) of what pays, in the order to be shown, and how many pay."""
        found: list[tuple[int, Size]] = []
        paying = 0
        for base in dict.fromkeys(self._bases):
            first, stop = index.span(base)
            bounds = self._bounds[first:stop]
            if self._size_all:
                self._size(index, np.flatnonzero(bounds) + first)
                sizes = self._sizes
                sized = [
                    (-size.profit, size.amount_in, cycle, size)
                    for cycle in (np.flatnonzero(bounds) + first).tolist()
                    if (size := sizes[cycle]) is not None
                ]
                paying += len(sized)
            else:
                sized = self._best(index, base, bounds, first)
                paying += int(np.count_nonzero(bounds))
            sized.sort()
            found += [(cycle, size) for _, _, cycle, size in sized[: self._top]]
        return found, paying

    def _best(
        self, index: CycleIndex, base: Address, bounds: NDArray[np.float64], first: int
    ) -> list[tuple[int, int, int, Size]]:
        """The best `top` and perhaps some more: cycles are sized by falling bound until none can be better."""
        top = self._top or 1
        sized: list[tuple[int, int, int, Size]] = []
        for cycles in self._falling(base, bounds, top):
            best = sorted(sized)[:top]
            if len(best) == top:
                # One that may gain as much could still come first, by its input.
                cycles = cycles[bounds[cycles] >= -best[-1][0]]
                if not len(cycles):
                    break
            self._size(index, cycles + first)
            for cycle in (cycles + first).tolist():
                size = self._sizes[cycle]
                if size is not None:
                    sized.append((-size.profit, size.amount_in, cycle, size))
        return sized

    def _falling(self, base: Address, bounds: NDArray[np.float64], top: int) -> Iterator[NDArray[np.intp]]:
        """Candidates by falling bound, in handfuls; which bound to look from is remembered between calls."""
        wanted = _IN_SIGHT * top
        floor = self._sight.get(base, np.inf)
        near = np.flatnonzero(bounds >= floor) if floor < np.inf else np.empty(0, np.intp)
        if not 2 * top <= len(near) <= 4 * wanted:
            alive = np.flatnonzero(bounds)
            if len(alive) > wanted:
                floor = float(np.partition(bounds[alive], -wanted)[-wanted])
                near = alive[bounds[alive] >= floor]
            else:
                floor, near = 1.0, alive
            self._sight[base] = floor
        near = near[np.argsort(-bounds[near], kind="stable")]
        for start in range(0, len(near), top + 4):
            yield near[start : start + top + 4]
        rest = np.flatnonzero((bounds > 0) & (bounds < floor))
        if len(rest):
            rest = rest[np.argsort(-bounds[rest], kind="stable")]
            for start in range(0, len(rest), 8 * top):
                yield rest[start : start + 8 * top]

    def _size(self, index: CycleIndex, cycles: NDArray[np.intp]) -> None:
        """See to it that each of these cycles has its size."""
        sizes = self._sizes
        missing = np.array([cycle for cycle in cycles.tolist() if cycle not in sizes], np.int32)
        missing.sort()
        for part, numbers in _by_part(index, missing):
            sized = self._edges.sizes(part.edges[:, numbers - part.first])
            sizes.update(zip(numbers.tolist(), sized, strict=True))


def _screened(index: CycleIndex, state: MarketState) -> tuple[Edges, NDArray[np.float64]]:
    edges = Edges(len(index.pools))
    edges.put(index.used, [state.pools[index.pools[number]] for number in index.used])
    bounds = np.zeros(index.count)
    for part in index.parts:
        bounds[part.first : part.first + part.size] = _bounds(edges, part.edges)
    return edges, bounds


def _bounds(edges: Edges, cycles: Ints) -> NDArray[np.float64]:
    """What no input of each cycle can gain more than; 0 where that is no base unit."""
    bounds = np.zeros(cycles.shape[1])
    hits = edges.hits(cycles)
    bounds[hits] = edges.optima(cycles[:, hits]).bound
    return bounds


def _by_part(index: CycleIndex, cycles: Ints) -> Iterator[tuple[Part, Ints]]:
    """The cycles, ascending, by the part they are in."""
    for part in index.parts:
        first, stop = np.searchsorted(cycles, (part.first, part.first + part.size))
        if first < stop:
            yield part, cycles[first:stop]


def find_opportunities(
    state: MarketState,
    bases: Sequence[Address],
    max_hops: int = 2,
    top: int | None = None,
    timer: Timer = time.perf_counter,
) -> SearchResult:
    """Every cycle of up to `max_hops` (2 to 4) hops through `bases` that pays at `state`, sized exactly.

    `top` keeps the best so many of each base token. Raises UsageError for another number of hops.
    """
    return Finder(bases, max_hops, top, timer).find(state)


def size(path: Path, state: MarketState) -> Opportunity | None:
    """The best input of `path` at `state`, or None where no input gains a whole base unit.

    `amount_out` and each hop's amounts are what the pools' integer arithmetic gives; the input is the least that gives
    that output. Raises UsageError where a pool of the path is not in the state, or does not hold the hop's token.
    """
    pools = []
    for hop in path.hops:
        pool = state.pools.get(hop.pool)
        if pool is None:
            raise UsageError(f"pool {hop.pool} is not in the market at block {state.block.number}")
        pool.depth(hop.token_in)
        pools.append(pool)
    edges = Edges(len(pools))
    edges.put(range(len(pools)), pools)
    sides = [
        2 * number + (hop.token_in != pool.token0)
        for number, (hop, pool) in enumerate(zip(path.hops, pools, strict=True))
    ]
    cycle = np.array(sides, np.int32)[:, None]
    best = edges.sizes(cycle)[0] if len(edges.hits(cycle)) else None
    return None if best is None else opportunity(path.hops, best, state)
