"""What the two lenders have in common whose contract is one of many pools: which of them to ask, which to take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TypeAlias, TypeVar

from arbtui.lenders.base import Terms
from arbtui.market.pool import Pool
from arbtui.units import Address

#: The known pools that hold a token.
PoolsOf: TypeAlias = Callable[[Address], Iterable[Pool]]

#: Pools of one fee that are asked each block: one for each pool that a path of two hops may collide with, and one.
KEPT_PER_FEE = 3

_T = TypeVar("_T")


def deepest_of_each_fee(rows: Iterable[tuple[int, int, Address, _T]]) -> tuple[_T, ...]:
    """Of (fee, held, pool, value): for each fee, cheapest first, the values of the pools that hold most."""
    ordered = sorted(rows, key=lambda row: (row[0], -row[1], row[2]))
    return tuple(
        row[3] for _, same in groupby(ordered, key=lambda row: row[0]) for row in list(same)[:KEPT_PER_FEE]
    )


def cheapest_pool(offers: Sequence[Terms]) -> Terms:
    """The offer that asks least, then holds most, with the others behind it; the least short refusal if none lends."""
    usable = sorted(
        (offer for offer in offers if offer.reason is None),
        key=lambda offer: (offer.fee or 0, -(offer.available or 0), str(offer.source)),
    )
    chosen: Terms | None = None
    for offer in reversed(usable):
        chosen = replace(offer, instead=chosen)
    return chosen or max(offers, key=lambda offer: -1 if offer.available is None else offer.available)
