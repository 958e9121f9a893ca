"""The pool families there are. A further one is one module with a Pool class and a `FAMILY`, one PoolKind, and one
line here; snapshots, reading, keeping by logs and search then know it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arbtui.domain import Call, CallResult, PoolKind
from arbtui.market import uniswap_v2, uniswap_v3_state
from arbtui.market.family import Family
from arbtui.market.pool import NeedsMore, Pool

FAMILIES: Mapping[PoolKind, Family] = {
    PoolKind.UNISWAP_V2: uniswap_v2.FAMILY,
    PoolKind.UNISWAP_V3: uniswap_v3_state.FAMILY,
}

#: First topics of every event that changes a pool of any family.
LOG_TOPICS: frozenset[str] = frozenset().union(*(family.log_topics for family in FAMILIES.values()))

#: First topics of every trade on a pool of any family.
SWAP_TOPICS: frozenset[str] = frozenset().union(*(family.swap_topics for family in FAMILIES.values()))


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
