"""Brute force in exact integers, sharing nothing with the search but the pools' own arithmetic."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from arbtui.market import MarketState, Pool
from arbtui.search import enumerate_cycles, find_opportunities
from arbtui.search.cycles import edge_ends
from arbtui.units import Address

_AROUND = 400
_ALL_UP_TO = 20_000


@dataclass(frozen=True, slots=True)
class Checked:
    """`above` have a marginal rate above 1; of those that were not found `tried` were searched through."""

    cycles: int
    above: int
    found: int
    tried: int
    missed: int

    def __str__(self) -> str:
        return (
            f"**{self.missed}** of {self.cycles:,} cycles ({self.above:,} with a rate above 1, {self.found:,} found "
            f"to pay, all of them above; {self.tried:,} of the rest tried input by input)"
        )


def check_all(
    state: MarketState, bases: Sequence[Address], max_hops: int, most: int, seed: int = 1
) -> Checked:
    """Every cycle's rate as a fraction; of those above 1 that the search does not return, `most` are tried."""
    index = enumerate_cycles(state, bases, max_hops)
    pools = list(state.pools.values())
    result = find_opportunities(state, bases, max_hops)
    found = {tuple(step.hop.pool for step in best.hops) for best in result.opportunities}
    rates: dict[int, tuple[int, int]] = {}
    above = []
    for _, cycle in index:
        top = bottom = 1
        for edge in cycle:
            if edge not in rates:
                rates[edge] = _rate(pools[edge >> 1], edge & 1)
            top, bottom = top * rates[edge][0], bottom * rates[edge][1]
        if top > bottom:
            above.append(cycle)
    names = {cycle: tuple(pools[edge >> 1].address for edge in cycle) for cycle in above}
    lost = [cycle for cycle in above if names[cycle] not in found]
    wrongly = len(found - set(names.values()))
    assert not wrongly, f"{wrongly} cycles are said to pay whose rate is not above 1"
    tried = random.Random(seed).sample(lost, min(most, len(lost)))
    missed = sum(_pays([pools[edge >> 1] for edge in cycle], [edge & 1 for edge in cycle]) for cycle in tried)
    return Checked(index.count, len(above), len(found), len(tried), missed)


def _rate(pool: Pool, side: int) -> tuple[int, int]:
    up, down = pool.spot_ratio(edge_ends(pool, side)[0])
    return up * (1_000_000 - pool.fee_ppm), down * 1_000_000


def _pays(pools: Sequence[Pool], sides: Sequence[int]) -> bool:
    """Whether some input gains a unit: all of them where they are few, else those around the best at each level."""
    tokens = [edge_ends(pool, side)[0] for pool, side in zip(pools, sides, strict=True)]

    def through(amount: int) -> int:
        for pool, token in zip(pools, tokens, strict=True):
            amount = pool.quote_out(token, amount)
        return amount

    # Constant product: the composition is a*x/(b + c*x), its best input (sqrt(a*b) - b)/c.
    a, b, c = 1, 1, 0
    for pool, token in zip(pools, tokens, strict=True):
        r_in, r_out = pool.virtual_reserves(token)
        kept = 1_000_000 - pool.fee_ppm
        a, b, c = r_out * kept * a, r_in * 1_000_000 * b, r_in * 1_000_000 * c + kept * a
    best = max((isqrt(a * b) - b) // c, 1)
    # Beyond this the real curve gains nothing.
    last = int(Fraction(a - b, c)) + 1
    if last <= _ALL_UP_TO:
        return any(through(amount) > amount for amount in range(1, last + 1))
    inputs = set(range(max(1, best - _AROUND), best + _AROUND))
    inputs.update(best * step // _AROUND for step in range(1, 2 * _AROUND))
    levels = [best]
    for pool, token in zip(pools, tokens, strict=True):
        levels.append(pool.quote_out(token, levels[-1]))
    for level in range(1, len(levels)):
        step = max(1, levels[level] // (4 * _AROUND))
        for amount in (
            *range(max(1, levels[level] - _AROUND), levels[level] + _AROUND),
            *range(1, 2 * levels[level], step),
        ):
            for pool, token in zip(pools[level - 1 :: -1], tokens[level - 1 :: -1], strict=True):
                amount = pool.least_in(token, amount)
            inputs.add(amount)
    return any(through(amount) > amount for amount in inputs if amount > 0)
