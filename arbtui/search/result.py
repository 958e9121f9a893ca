"""What a search answers: exact sizes first, opportunities made of them when they are looked at."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from arbtui.domain import Hop, HopAmount, Opportunity, Path
from arbtui.market import MarketState
from arbtui.search.cycles import CycleIndex, edge_ends
from arbtui.search.sizing import Size
from arbtui.units import Address


class Opportunities(Sequence[Opportunity]):
    """Opportunities in their order, each made when it is first asked for; equal to a tuple of the same."""

    __slots__ = ("_found", "_index", "_made", "_state")

    def __init__(
        self, state: MarketState, index: CycleIndex, found: Sequence[tuple[int, int, int, Size]]
    ) -> None:
        self._state = state
        self._index = index
        self._found = found
        self._made: list[Opportunity | None] = [None] * len(found)

    @overload
    def __getitem__(self, at: int) -> Opportunity: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Opportunity, ...]: ...
    def __getitem__(self, at: int | slice) -> Opportunity | tuple[Opportunity, ...]:
        if isinstance(at, slice):
            return tuple(self[number] for number in range(*at.indices(len(self))))
        made = self._made[at]
        if made is None:
            _, _, cycle, size = self._found[at]
            made = self._made[at] = opportunity(
                hops_of(self._state, self._index, cycle), size.amount_in, self._state
            )
        return made

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Opportunity]:
        return (self[number] for number in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Opportunities | tuple):
            return len(self) == len(other) and tuple(self) == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"<{len(self)} opportunities at block {self._state.block.number}>"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What a full pass found otherwise than the increment had it.

    `pools` differ from the state before and were not named as changed; `cycles` counts the cycles whose rate, bound
    or size was not the one found anew.
    """

    pools: tuple[Address, ...]
    cycles: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Opportunities grouped by base token in the order asked, best gross profit first within each.

    `cycles` counts the directed cycles there are, `screened` those looked at this time, `paying` those with a whole
    base unit of profit; `elapsed` is seconds for "index", "screen" and "size". Where not everything was sized
    (`complete` is False) `paying` counts the cycles whose real curve gains a base unit: integers may leave fewer.
    `mismatch` is None unless a full pass checked the increments and found them wrong; the opportunities are then those
    of the full pass.
    """

    opportunities: Sequence[Opportunity]
    cycles: int
    paying: int
    elapsed: Mapping[str, float]
    screened: int = 0
    complete: bool = True
    mismatch: Mismatch | None = None


def hops_of(state: MarketState, index: CycleIndex, cycle: int) -> tuple[Hop, ...]:
    """The hops of the cycle so numbered."""
    hops = []
    for edge in index.edges_of(cycle):
        pool = state.pools[index.pools[edge >> 1]]
        token_in, token_out = edge_ends(pool, edge & 1)
        hops.append(Hop(pool.address, pool.dex, pool.kind, pool.fee_ppm, token_in, token_out))
    return tuple(hops)


def opportunity(hops: Sequence[Hop], amount_in: int, state: MarketState) -> Opportunity:
    """The opportunity that so much of the first hop's token is on these hops."""
    amounts = []
    amount = amount_in
    for hop in hops:
        swap = state.pools[hop.pool].swap_exact_in(hop.token_in, amount)
        amounts.append(HopAmount(hop, amount, swap.amount_out, math.ceil(swap.price_impact_bps)))
        amount = swap.amount_out
    token = state.token(hops[0].token_in)
    return Opportunity(Path(tuple(hops)), token, amount_in, amount, tuple(amounts), state.block)


def sharing(opportunities: Collection[Opportunity]) -> dict[str, tuple[str, ...]]:
    """For each opportunity's id, the ids of those before it that it shares a pool with, best first.

    `opportunities` are best first. One that shares a pool was sized on liquidity that a better one would take: after
    the better one is traded its amounts no longer hold.
    """
    users: dict[Address, list[int]] = {}
    ids: list[str] = []
    shared: dict[str, tuple[str, ...]] = {}
    for number, found in enumerate(opportunities):
        name = found.id
        rivals = {rival for pool in found.path.pools for rival in users.get(pool, ())}
        shared[name] = tuple(ids[rival] for rival in sorted(rivals))
        for pool in found.path.pools:
            users.setdefault(pool, []).append(number)
        ids.append(name)
    return shared
