"""Screen every cycle of a market, size those that may pay, best first; of a next block, only what changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arbtui.domain import Opportunity, Path, PoolKind
from arbtui.errors import UsageError
from arbtui.market import MarketState
from arbtui.search.cycles import CORE_CYCLES, CORE_POOLS, CycleIndex, Ints, Part, enumerate_cycles
from arbtui.search.edges import Edges
from arbtui.search.result import Mismatch, Opportunities, SearchResult, opportunity
from arbtui.search.setbacks import Setbacks
from arbtui.search.sizing import Size, input_after_fee
from arbtui.units import PPM, Address, mul_div_up

Timer = Callable[[], float]
#: (less its profit, input, cycle number, size): sorts best first.
_Row = tuple[int, int, int, Size]

#: Every so many calls with `changed` a full pass checks what the increments came to.
CHECK_EVERY = 256
#: Where only the best are sized, so many candidates for each of them are kept in sight between calls.
_IN_SIGHT = 16
#: So many cycles are sized together: what is made on the way stays small.
_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class Costs:
    """What executing a cycle of one base token takes of its gross profit, as far as can be told without a node.

    The loan's fee is `fee_ppm` of the input. `run_wei` is gas in wei, with `hop_wei` for each hop by the pool's kind;
    a base unit is worth `worth[0] / worth[1]` wei.
    """

    fee_ppm: int
    worth: tuple[int, int]
    run_wei: int
    hop_wei: Mapping[PoolKind, int]

    def net(self, size: Size, kinds: Sequence[PoolKind]) -> int:
        """What is left, in wei times `worth[1]`: nothing is rounded, so it orders as the real figures do."""
        gross = size.profit - mul_div_up(size.amount_in, self.fee_ppm, PPM)
        return gross * self.worth[0] - self.gas(kinds) * self.worth[1]

    def gas(self, kinds: Sequence[PoolKind]) -> int:
        return self.run_wei + sum(self.hop_wei[kind] for kind in kinds)

    def least_gross(self, net: int) -> float:
        """A cycle of a lesser gross profit, in base units, leaves less than `net`; a little below the real figure."""
        least = self.run_wei + 2 * min(self.hop_wei.values(), default=0)
        return (net + least * self.worth[1]) / self.worth[0] * (1 - 1e-9)


class Finder:
    """Finds opportunities block by block; index, rates, bounds and sizes are kept from one call to the next.

    `top` keeps so many of each base token. With `size_all` False no more is sized than the best `top` need: they are
    still exactly those that sizing everything would give. Each `check_every`th call with `changed` is checked by a
    full pass. `core_pools` and `core_cycles` bound the four-hop cycles; `timer` gives seconds. `setbacks` is kept for
    whoever simulates what was found.
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
        self._bases = tuple(dict.fromkeys(bases))
        self._max_hops = max_hops
        self._top = top
        self._timer = timer
        self._size_all = size_all
        self._check_every = check_every
        self._core = (core_pools, core_cycles)
        self._since_check = 0
        self._index: CycleIndex | None = None
        self._edges = Edges(0)
        self._bounds: NDArray[np.float64] = np.zeros(0)
        #: Where all is sized: each base token's rows, sorted.
        self._rows: dict[Address, list[_Row]] = {}
        #: Where only the best are: what was sized, and the bound from which on candidates are in sight.
        self._sizes: dict[int, Size | None] = {}
        self._sight: dict[Address, float] = {}
        self._costs: Mapping[Address, Costs | None] = {}
        self.setbacks = Setbacks()
        #: What the last call found, and how many pay.
        self._found: tuple[list[_Row], int] = ([], 0)

    def find(
        self,
        state: MarketState,
        changed: Collection[Address] | None = None,
        costs: Mapping[Address, Costs | None] | None = None,
    ) -> SearchResult:
        """All cycles through the base tokens that pay at `state`, before loan fee and gas.

        Where `top` cuts, `costs` by base token adds what it would have left out of the best `top` after these: those
        to which anything is left. Cycles of a larger gross profit cannot hide them.

        With `changed` only these pools may differ from the state of the call before, and there must be the same
        pools: then only the cycles through them are screened and sized again, and the answer is as complete as that of
        a full pass, which None asks for. A difference that was not named is seen by the next check.
        """
        began = self._timer()
        self._costs = costs or {}
        index = self._index
        touched: Ints | None = None
        if index is None or changed is None or not self._fits(index, state, changed):
            if index is None or index.pools != tuple(state.pools):
                index = self._index = enumerate_cycles(state, self._bases, self._max_hops, *self._core)
                self._edges = Edges(len(index.pools))
            indexed = self._timer()
            self._put(index, state, index.used)
            self._bounds = np.zeros(index.count)
            self._screen(index, None)
            self._since_check = 0
        else:
            indexed = self._timer()
            numbers = [index.numbers[address] for address in changed]
            self._put(index, state, numbers)
            touched = index.touching(numbers)
            self._screen(index, touched)
            self._since_check += 1
        screened = self._timer()
        self._found = self._ranked(index, touched)
        sized = self._timer()
        elapsed = {"index": indexed - began, "screen": screened - indexed, "size": sized - screened}
        mismatch = None
        if self._since_check >= self._check_every:
            mismatch = self._check(index, state)
            index = self._index or index
            elapsed["check"] = self._timer() - sized
        found, paying = self._found
        return SearchResult(
            Opportunities(state, index, found),
            index.count,
            paying,
            elapsed,
            index.count if touched is None else len(touched),
            self._size_all,
            mismatch,
        )

    def _fits(self, index: CycleIndex, state: MarketState, changed: Collection[Address]) -> bool:
        numbers = index.numbers
        return len(state.pools) == len(index.pools) and all(address in numbers for address in changed)

    def _put(self, index: CycleIndex, state: MarketState, numbers: Sequence[int]) -> None:
        """Take up the pools so numbered; one that is the very same value as before is known already."""
        used, known, names, pools = index.is_used, self._edges.pools, index.pools, state.pools
        new = [
            (number, pool)
            for number in numbers
            if used[number] and (pool := pools[names[number]]) is not known[number]
        ]
        self._edges.put([number for number, _ in new], [pool for _, pool in new])

    def _screen(self, index: CycleIndex, cycles: Ints | None) -> None:
        """Set the bounds of these cycles, ascending; None are all."""
        edges, bounds = self._edges, self._bounds
        if cycles is None:
            for part in index.parts:
                bounds[part.first : part.first + part.size] = _bounds(edges, part.edges)
        else:
            for part, numbers in _by_part(index, cycles):
                bounds[numbers] = _bounds(edges, part.edges[:, numbers - part.first])

    def _ranked(self, index: CycleIndex, touched: Ints | None) -> tuple[list[_Row], int]:
        """What pays, in the order to be shown, and how many pay; only `touched` cycles may have a new bound."""
        found: list[_Row] = []
        paying = 0
        if touched is None:
            self._sizes.clear()
        elif not self._size_all:
            if len(touched) < len(self._sizes):
                gone = touched.tolist()
            else:
                known = np.fromiter(self._sizes, np.int32, len(self._sizes))
                gone = known[np.isin(known, touched)].tolist()
            for cycle in gone:
                self._sizes.pop(cycle, None)
        for base in self._bases:
            first, stop = index.span(base)
            bounds = self._bounds[first:stop]
            if self._size_all:
                rows = self._sized(index, base, touched)
                nets = self._nets(index, base, rows)
                paying += len(rows)
            else:
                rows, nets = self._best(index, base, bounds, first)
                paying += int(np.count_nonzero(bounds > 0))
            best = rows[: self._top]
            # What costs leave most of: a row sorts by its gross profit.
            best += [row for _, row in nets if row > best[-1]]
            found += sorted(best) if nets else best
        return found, paying

    def _nets(
        self, index: CycleIndex, base: Address, rows: Sequence[_Row], known: Sequence[tuple[int, _Row]] = ()
    ) -> list[tuple[int, _Row]]:
        """(less its net, row) of the best `top` by net of `known` and `rows`: of those that anything is left to."""
        costs = self._costs.get(base)
        if costs is None or self._top is None:
            return []
        nets, pools = list(known), self._edges.pools
        least = costs.least_gross(1)
        for row in rows:
            if -row[0] >= least:
                kinds = [
                    pool.kind for edge in index.edges_of(row[2]) if (pool := pools[edge >> 1]) is not None
                ]
                net = costs.net(row[3], kinds)
                if net > 0:
                    nets.append((-net, row))
        nets.sort()
        return nets[: self._top]

    def _sized(self, index: CycleIndex, base: Address, touched: Ints | None) -> list[_Row]:
        """All that pay of a base token, sorted."""
        first, stop = index.span(base)
        if touched is None:
            rows = []
            cycles = np.arange(first, stop, dtype=np.int32)
        else:
            low, high = np.searchsorted(touched, (first, stop))
            cycles = touched[low:high]
            rows = self._rows[base]
            if len(cycles):
                gone = set(cycles.tolist())
                rows = [row for row in rows if row[2] not in gone]
        for numbers, sizes in self._size(index, cycles[self._bounds[cycles] > 0]):
            rows += [
                (-size.profit, size.amount_in, cycle, size)
                for cycle, size in zip(numbers.tolist(), sizes, strict=True)
                if size is not None
            ]
        rows.sort()
        self._rows[base] = rows
        return rows

    def _best(
        self, index: CycleIndex, base: Address, bounds: NDArray[np.float64], first: int
    ) -> tuple[list[_Row], list[tuple[int, _Row]]]:
        """The best `top`, sorted, and perhaps some more: by falling bound, until none can be better.

        With costs also all that can be among the best `top` after them; these once more, as `_nets` gives them.
        """
        top = self._top or 1
        rows: list[_Row] = []
        costs = self._costs.get(base)
        nets: list[tuple[int, _Row]] = []
        for candidates in self._falling(base, bounds, top):
            cycles = candidates
            if len(rows) >= top:
                # One that may gain as much could still come first, by its input.
                enough: float = -rows[top - 1][0]
                if costs is not None:
                    enough = min(enough, costs.least_gross(-nets[-1][0] if len(nets) >= top else 1))
                cycles = cycles[bounds[cycles] >= enough]
                if not len(cycles):
                    break
            numbers = (cycles + first).tolist()
            missing = np.array(sorted(number for number in numbers if number not in self._sizes), np.int32)
            for new, sizes in self._size(index, missing):
                self._sizes.update(zip(new.tolist(), sizes, strict=True))
            more = [
                (-size.profit, size.amount_in, number, size)
                for number in numbers
                if (size := self._sizes[number]) is not None
            ]
            nets = self._nets(index, base, more, nets)
            rows += more
            rows.sort()
        return rows, nets

    def _falling(self, base: Address, bounds: NDArray[np.float64], top: int) -> Iterator[NDArray[np.intp]]:
        """Candidates by falling bound, in handfuls; which bound to look from is remembered between calls."""
        floor = self._sight.get(base, np.inf)
        near = np.flatnonzero(bounds >= floor)
        if not 2 * top <= len(near) <= 4 * _IN_SIGHT * top:
            floor, near = 1.0, np.flatnonzero(bounds > 0)
            if len(near) > _IN_SIGHT * top:
                floor = float(np.partition(bounds[near], -_IN_SIGHT * top)[-_IN_SIGHT * top])
                near = near[bounds[near] >= floor]
            self._sight[base] = floor
        yield from _handfuls(near, bounds, top + 4)
        yield from _handfuls(np.flatnonzero((bounds > 0) & (bounds < floor)), bounds, 8 * top)

    def _size(self, index: CycleIndex, cycles: Ints) -> Iterator[tuple[Ints, list[Size | None]]]:
        """The sizes of these cycles, ascending, some at a time."""
        for part, numbers in _by_part(index, cycles):
            for start in range(0, len(numbers), _AT_ONCE):
                some = numbers[start : start + _AT_ONCE]
                yield some, self._edges.sizes(part.edges[:, some - part.first])

    def _check(self, index: CycleIndex, state: MarketState) -> Mismatch | None:
        """Find everything anew from `state` alone; where that differs it takes the place of what was kept."""
        self._since_check = 0
        fresh = Finder(
            self._bases, self._max_hops, self._top, self._timer, size_all=self._size_all,
            core_pools=self._core[0], core_cycles=self._core[1],
        )  # fmt: skip
        if index.pools == tuple(state.pools):
            fresh._index, fresh._edges = index, Edges(len(index.pools))
        fresh.find(state, None, self._costs)
        pools = tuple(sorted(set(index.pools) ^ set(state.pools))) or tuple(
            index.pools[number]
            for number in index.used
            if (pool := state.pools[index.pools[number]]) is not (known := self._edges.pools[number])
            and pool != known
        )
        same_size = len(self._bounds) == len(fresh._bounds)
        cycles = int(np.count_nonzero(self._bounds != fresh._bounds)) if same_size else len(fresh._bounds)
        if self._found != fresh._found:
            cycles = max(cycles, len(set(self._found[0]) ^ set(fresh._found[0])), 1)
        if not pools and not cycles:
            return None
        self._index, self._edges, self._bounds = fresh._index, fresh._edges, fresh._bounds
        self._rows, self._sizes, self._sight = fresh._rows, fresh._sizes, fresh._sight
        self._found = fresh._found
        return Mismatch(pools, cycles)


def _handfuls(cycles: NDArray[np.intp], bounds: NDArray[np.float64], size: int) -> Iterator[NDArray[np.intp]]:
    """By falling bound, so many at first, then twice as many each time."""
    ordered = cycles[np.argsort(-bounds[cycles], kind="stable")]
    start = 0
    while start < len(ordered):
        yield ordered[start : start + size]
        start, size = start + size, 2 * size


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


def size(path: Path, state: MarketState, fee_ppm: int = 0) -> Opportunity | None:
    """The best input of `path` at `state`, or None where no input gains a whole base unit.

    `fee_ppm` is what a loan of the input costs: the input is then the one that leaves most after it, less than the one
    that gains most before it. `amount_out` and each hop's amounts are what the pools' integer arithmetic gives; the
    input is the least that gives that output. Raises UsageError where a pool of the path is not in the state, or does
    not hold the hop's token.
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
    if fee_ppm:
        legs = edges.legs(sides)
        wanted = input_after_fee(legs, fee_ppm) if legs else None
        return None if wanted is None else opportunity(path.hops, wanted, state)
    cycle = np.array(sides, np.int32)[:, None]
    best = edges.sizes(cycle)[0] if len(edges.hits(cycle)) else None
    return None if best is None else opportunity(path.hops, best.amount_in, state)
