"""All directed cycles of two, three and four hops through given base tokens, as arrays of edge numbers.

An edge is a pool in one direction, numbered `2 * pool + side` with `side` 0 for token0 in. A cycle visits no token
twice, so never a pool twice either. Which cycles of two and three hops there are depends on the pools alone; those of
four hops run through the liquid core, which is chosen once, at the state the index is made from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arbtui.errors import UsageError
from arbtui.market import MarketState, Pool
from arbtui.units import Address

Ints = NDArray[np.int32]
Wides = NDArray[np.intp]

MAX_HOPS = 4
#: Four-hop cycles use the deepest so many pools, fewer where they would make more than CORE_CYCLES for one base token.
CORE_POOLS = 2_000
CORE_CYCLES = 500_000
#: More cycles of two and three hops than this, over all base tokens, are refused: some 30 bytes each are kept, and more
#: are needed while they are made.
MOST_CYCLES = 20_000_000


class Part(NamedTuple):
    """The cycles of one base token and length; `edges[hop]` numbers that hop's edge of each.

    They are the index's cycles `first` up to `first + size`.
    """

    base: Address
    hops: int
    first: int
    edges: Ints

    @property
    def size(self) -> int:
        return int(self.edges.shape[1])


@dataclass(frozen=True, eq=False)
class CycleIndex:
    """`parts` by base token in the order asked, shorter cycles first; `pools` is what the edges number."""

    pools: tuple[Address, ...]
    parts: tuple[Part, ...]

    @property
    def count(self) -> int:
        """Directed cycles, each once per base token."""
        return sum(part.size for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes of the cycles and of what finds them by their pools."""
        return sum(part.edges.nbytes for part in self.parts) + sum(array.nbytes for array in self._by_pool)

    @cached_property
    def is_used(self) -> list[bool]:
        """By pool number: whether the pool is in some cycle."""
        seen = np.zeros(len(self.pools), bool)
        for part in self.parts:
            seen[part.edges >> 1] = True
        return seen.tolist()

    @cached_property
    def used(self) -> list[int]:
        """Numbers of the pools that are in some cycle."""
        return [number for number, used in enumerate(self.is_used) if used]

    def span(self, base: Address) -> tuple[int, int]:
        """The first cycle of a base token that was asked for, and where its cycles end."""
        parts = [part for part in self.parts if part.base == base]
        return parts[0].first, parts[-1].first + parts[-1].size

    @cached_property
    def numbers(self) -> dict[Address, int]:
        """A pool's number by its address."""
        return {address: number for number, address in enumerate(self.pools)}

    @cached_property
    def _by_pool(self) -> tuple[Ints, Ints]:
        """Where each pool's cycles begin in the second array (CSR)."""
        counts = np.zeros(len(self.pools) + 1, np.int32)
        for part in self.parts:
            for edges in part.edges:
                counts[1:] += np.bincount(edges >> 1, minlength=len(self.pools)).astype(np.int32)
        starts = np.cumsum(counts, dtype=np.int32)
        cycles = np.empty(int(starts[-1]), np.int32)
        free = starts[:-1].copy()
        for part in self.parts:
            for edges in part.edges:
                pools = edges >> 1
                order = np.argsort(pools, kind="stable").astype(np.int32)
                ordered = pools[order]
                runs = np.flatnonzero(np.diff(ordered, prepend=-1))
                rank = np.arange(len(ordered)) - np.repeat(runs, np.diff(np.append(runs, len(ordered))))
                cycles[free[ordered] + rank] = order + part.first
                free += np.bincount(pools, minlength=len(self.pools)).astype(np.int32)
        return starts, cycles

    def touching(self, pools: Sequence[int]) -> Ints:
        """The cycles that use any of the pools so numbered, ascending, each once."""
        starts, cycles = self._by_pool
        found = [cycles[starts[pool] : starts[pool + 1]] for pool in pools]
        if not found:
            return np.empty(0, np.int32)
        merged = np.concatenate(found)
        merged.sort()
        keep = np.empty(len(merged), bool)
        keep[:1] = True
        np.not_equal(merged[1:], merged[:-1], out=keep[1:])
        return merged[keep]

    def part_of(self, cycle: int) -> Part:
        """The part that cycle number `cycle` is in."""
        return next(part for part in reversed(self.parts) if part.first <= cycle)

    def edges_of(self, cycle: int) -> tuple[int, ...]:
        """The edges of cycle number `cycle`, first hop first."""
        part = self.part_of(cycle)
        return tuple(part.edges[:, cycle - part.first].tolist())

    def __iter__(self) -> Iterator[tuple[Address, tuple[int, ...]]]:
        """(base token, edges) of every cycle, in the order of their numbers."""
        for part in self.parts:
            for cycle in part.edges.T.tolist():
                yield part.base, tuple(cycle)


def enumerate_cycles(
    state: MarketState,
    bases: Sequence[Address],
    max_hops: int = 2,
    core_pools: int = CORE_POOLS,
    core_cycles: int = CORE_CYCLES,
    most_cycles: int = MOST_CYCLES,
) -> CycleIndex:
    """Every directed cycle through each of `bases`; the order follows `state.pools`.

    `core_pools` and `core_cycles` bound the four-hop cycles of a base token. Raises UsageError where `max_hops` is not
    2, 3 or 4, and where there are more than `most_cycles` of two and three hops.
    """
    if not 2 <= max_hops <= MAX_HOPS:
        raise UsageError(f"max hops: {max_hops} is not between 2 and {MAX_HOPS}")
    graph = _Graph(list(state.pools.values()))
    count = sum(graph.count(base, max_hops) for base in dict.fromkeys(bases))
    if count > most_cycles:
        raise UsageError(
            f"search: {len(state.pools):,} pools make {count:,} cycles of 2 and 3 hops through the base tokens, "
            f"more than {most_cycles:,}; take fewer pools, fewer base tokens or fewer hops"
        )
    parts: list[Part] = []
    first = 0
    for base in dict.fromkeys(bases):
        found = [graph.twos(base)]
        if max_hops >= 3:
            found.append(graph.threes(base))
        if max_hops >= 4:
            found.append(graph.fours(base, graph.core(base, core_pools, core_cycles)))
        for hops, edges in enumerate(found, start=2):
            parts.append(Part(base, hops, first, edges))
            first += edges.shape[1]
    return CycleIndex(tuple(state.pools), tuple(parts))


class _Grouped:
    """Edges by a token: `of(tokens)` pairs each position of `tokens` with every edge of that token."""

    def __init__(self, edges: Ints, tokens: Ints, total: int) -> None:
        order = np.argsort(tokens, kind="stable")
        self._edges = edges[order]
        self._starts = np.zeros(total + 1, np.intp)
        np.cumsum(np.bincount(tokens, minlength=total), out=self._starts[1:])
        self.held = self._starts[1:] > self._starts[:-1]

    def of(self, tokens: Ints) -> tuple[Wides, Ints]:
        """(positions in `tokens`, edges), position by position."""
        starts = self._starts[tokens]
        counts = self._starts[1:][tokens] - starts
        positions = np.repeat(np.arange(len(tokens)), counts)
        within = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts)
        return positions, self._edges[starts[positions] + within]


class _Graph:
    """The pools as a directed multigraph of numbered tokens."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self._pools = pools
        self._numbers: dict[Address, int] = {}
        number = self._numbers
        ends = [number.setdefault(end, len(number)) for pool in pools for end in (pool.token0, pool.token1)]
        self._ends = np.array(ends, np.int32)
        self._others = self._ends.reshape(-1, 2)[:, ::-1].ravel()

    def _out_of(self, token: int, among: Ints | None = None) -> Ints:
        if among is None:
            return np.flatnonzero(self._ends == token).astype(np.int32)
        found: Ints = among[self._ends[among] == token]
        return found

    def count(self, base: Address, max_hops: int) -> int:
        """How many cycles of two and, where asked for, three hops there are; nothing is made of them."""
        token, total = self._numbers.get(base, -1), len(self._numbers)
        near = np.bincount(self._others[self._ends == token], minlength=total).astype(np.float64)
        found = float(near @ (near - 1))
        if max_hops >= 3:
            # Of floats: whole numbers up to 2**53, and no overflow beyond.
            found += float(near[self._ends] @ near[self._others])
        return math.ceil(found)

    def twos(self, base: Address) -> Ints:
        token = self._numbers.get(base, -1)
        out = self._out_of(token)
        near = _Grouped(out, self._others[out], len(self._numbers))
        at, back = near.of(self._others[out])
        there = out[at]
        kept = there != back
        # An edge the other way through the same pool differs in its last bit alone.
        return np.stack((there[kept], back[kept] ^ 1))

    def threes(self, base: Address) -> Ints:
        token = self._numbers.get(base, -1)
        out = self._out_of(token)
        total = len(self._numbers)
        near = _Grouped(out, self._others[out], total)
        # The middle hop runs between two neighbours of the base; the base is no neighbour of its own.
        inner = np.flatnonzero(near.held[self._ends] & near.held[self._others]).astype(np.int32)
        at, second = _Grouped(inner, self._ends[inner], total).of(self._others[out])
        back_at, back = near.of(self._others[second])
        return np.stack((out[at[back_at]], second[back_at], back ^ 1))

    def fours(self, base: Address, core: Ints) -> Ints:
        """The four-hop cycles whose edges are all among `core`."""
        token, total = self._numbers.get(base, -1), len(self._numbers)
        out = self._out_of(token, core)
        near = _Grouped(out, self._others[out], total)
        inner = core[(self._ends[core] != token) & (self._others[core] != token)]
        at, second = _Grouped(inner, self._ends[inner], total).of(self._others[out])
        first = out[at]
        last_but_one = inner[near.held[self._others[inner]]]
        at, third = _Grouped(last_but_one, self._ends[last_but_one], total).of(self._others[second])
        first, second = first[at], second[at]
        kept = self._others[first] != self._others[third]
        first, second, third = first[kept], second[kept], third[kept]
        at, back = near.of(self._others[third])
        return np.stack((first[at], second[at], third[at], back ^ 1))

    def core(self, base: Address, most_pools: int, most_cycles: int) -> Ints:
        """The edges of the deepest pools: at most `most_pools`, and so few that no more than `most_cycles` arise.

        A pool's depth is what it holds of the base token, or of its tokens at the spot price of their deepest pool
        with the base token; the lesser side where both have a price, none where neither has.
        """
        depths = self._depths(base)
        order = sorted((number for number in depths if depths[number] > 0), key=lambda n: (-depths[n], n))
        low, high = 0, min(most_pools, len(order))
        if self._walks(base, order[:high]) <= most_cycles:
            low = high
        while high - low > 1:
            middle = (low + high) // 2
            if self._walks(base, order[:middle]) <= most_cycles:
                low = middle
            else:
                high = middle
        chosen = np.array(sorted(order[:low]), np.int32)
        return np.stack((2 * chosen, 2 * chosen + 1), axis=1).ravel()

    def _depths(self, base: Address) -> dict[int, float]:
        prices: dict[Address, tuple[int, float]] = {}
        for pool in self._pools:
            if base in (pool.token0, pool.token1):
                other = pool.token1 if pool.token0 == base else pool.token0
                depth = pool.depth(base)
                up, down = pool.spot_ratio(other)
                if depth > prices.get(other, (0, 0.0))[0] and up > 0 and down > 0:
                    prices[other] = (depth, up / down)
        prices[base] = (0, 1.0)
        depths: dict[int, float] = {}
        for number, pool in enumerate(self._pools):
            sides = [
                pool.depth(token) * prices[token][1]
                for token in (pool.token0, pool.token1)
                if token in prices
            ]
            if sides:
                depths[number] = min(sides)
        return depths

    def _walks(self, base: Address, pools: Sequence[int]) -> int:
        """Closed walks of four hops from the base that do not pass it between: no fewer than the cycles."""
        token = self._numbers.get(base, -1)
        chosen = np.array(pools, np.intp)
        one, other = self._ends[2 * chosen], self._others[2 * chosen]
        beside = (one == token) | (other == token)
        near = np.zeros(len(self._numbers))
        np.add.at(near, np.where(one == token, other, one)[beside], 1.0)
        one, other = one[~beside], other[~beside]
        # Edges from a neighbour to each token, by the pools that lead to that neighbour.
        reach = np.zeros(len(self._numbers))
        np.add.at(reach, other, near[one])
        np.add.at(reach, one, near[other])
        return math.ceil(float(reach @ reach))


def edge_ends(pool: Pool, side: int) -> tuple[Address, Address]:
    """(token in, token out) of an edge of `pool`."""
    return (pool.token1, pool.token0) if side else (pool.token0, pool.token1)
