"""The pool families there are. A further one is one module with the five functions of `Family`, one PoolKind, and
one line in `FAMILIES`; snapshots, reading and search then know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from arbtui.domain import Call, CallResult, PoolKind
from arbtui.market import uniswap_v2, uniswap_v3
from arbtui.market.fields import Fields
from arbtui.market.pool import NeedsMore, Pool
from arbtui.units import Address, Ppm


@dataclass(frozen=True, slots=True)
class Family:
    """What a family's module offers beside its Pool class."""

    read_calls: Callable[[Pool], tuple[Call, ...]]
    with_answers: Callable[[Pool | NeedsMore, Sequence[CallResult]], Pool | NeedsMore]
    from_fields: Callable[[Fields, Address, str, Address, Address, Ppm], Pool]
    own_fields: Callable[[Pool], dict[str, object]]
    state_fields: Callable[[Pool], dict[str, object]]


FAMILIES: Mapping[PoolKind, Family] = {
    PoolKind.UNISWAP_V2: Family(
        uniswap_v2.read_calls,
        uniswap_v2.with_answers,
        uniswap_v2.from_fields,
        uniswap_v2.own_fields,
        uniswap_v2.state_fields,
    ),
    PoolKind.UNISWAP_V3: Family(
        uniswap_v3.read_calls,
        uniswap_v3.with_answers,
        uniswap_v3.from_fields,
        uniswap_v3.own_fields,
        uniswap_v3.state_fields,
    ),
}


def read_calls(pool: Pool) -> tuple[Call, ...]:
    """The calls that read the pool's state anew, to be made at one block.

    The loop of a caller, all at the same block::

        step: Pool | NeedsMore = pool
        calls = read_calls(pool)
        while calls:
            step = with_answers(step, results_of(calls))
            calls = step.calls if isinstance(step, NeedsMore) else ()
    """
    return FAMILIES[pool.kind].read_calls(pool)


def with_answers(asked: Pool | NeedsMore, results: Sequence[CallResult]) -> Pool | NeedsMore:
    """The pool as read, or what must be asked besides; see `read_calls`. Raises MalformedAnswer naming the pool."""
    pool = asked.pool if isinstance(asked, NeedsMore) else asked
    return FAMILIES[pool.kind].with_answers(asked, results)


def state_fields(pool: Pool) -> dict[str, object]:
    """What a swap changes, as JSON ("after" of `arbtui swap`)."""
    return FAMILIES[pool.kind].state_fields(pool)
