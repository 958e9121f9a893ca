"""All directed cycles of two and three hops through given base tokens.

An edge is a pool in one direction, numbered `2 * pool + side` with `side` 0 for token0 in; cycles are tuples of edge
numbers in plain lists, base token by base token. The index depends on which pools there are, not on their state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arbtui.errors import UsageError
from arbtui.market import MarketState, Pool
from arbtui.units import Address

MAX_HOPS = 3


@dataclass(frozen=True, slots=True)
class CycleIndex:
    """`groups` holds for each base token its two-hop and three-hop cycles; `pools` what the edges number."""

    pools: tuple[Address, ...]
    groups: tuple[tuple[Address, list[tuple[int, int]], list[tuple[int, int, int]]], ...]

    @property
    def count(self) -> int:
        """Directed cycles, each once per base token."""
        return sum(len(twos) + len(threes) for _, twos, threes in self.groups)


def enumerate_cycles(state: MarketState, bases: Sequence[Address], max_hops: int = 2) -> CycleIndex:
    """Every directed cycle through each of `bases`, never the same pool twice; the order follows `state.pools`.

    Raises UsageError where `max_hops` is not 2 or 3.
    """
    if not 2 <= max_hops <= MAX_HOPS:
        raise UsageError(f"max hops: {max_hops} is not 2 or {MAX_HOPS}")
    pools = tuple(state.pools.values())
    out: dict[Address, dict[Address, list[int]]] = {}
    for number, pool in enumerate(pools):
        out.setdefault(pool.token0, {}).setdefault(pool.token1, []).append(2 * number)
        out.setdefault(pool.token1, {}).setdefault(pool.token0, []).append(2 * number + 1)

    groups = []
    for base in dict.fromkeys(bases):
        # An edge the other way through the same pool differs in its last bit alone.
        near = out.get(base, {})
        twos = [
            (there, back ^ 1) for edges in near.values() for there in edges for back in edges if there != back
        ]
        threes: list[tuple[int, int, int]] = []
        if max_hops >= 3:
            for middle, first_edges in near.items():
                beyond = out[middle]
                small, large = (beyond, near) if len(beyond) <= len(near) else (near, beyond)
                for last in small:
                    if last not in large:
                        continue
                    threes += [
                        (first, second, back ^ 1)
                        for first in first_edges
                        for second in beyond[last]
                        for back in near[last]
                    ]
        groups.append((base, twos, threes))
    return CycleIndex(tuple(pool.address for pool in pools), tuple(groups))


def edge_ends(pool: Pool, side: int) -> tuple[Address, Address]:
    """(token in, token out) of an edge of `pool`."""
    return (pool.token1, pool.token0) if side else (pool.token0, pool.token1)
