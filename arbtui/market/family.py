"""What the module of a pool family offers beside its Pool class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arbtui.domain import Call, CallResult, Log
from arbtui.market.fields import Fields
from arbtui.market.pool import NeedsMore, Pool
from arbtui.units import Address, Ppm


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All of it pure. Where a pool of another family is handed in, that is a defect of the caller."""

    #: The calls that read the pool's state anew, at one block; see `families.read_calls`.
    read_calls: Callable[[Pool], tuple[Call, ...]]
    #: The pool as read, or what must be asked besides. Raises MalformedAnswer.
    with_answers: Callable[[Pool | NeedsMore, Sequence[CallResult]], Pool | NeedsMore]
    #: A pool from its own fields of a snapshot line, (fields, address, dex, token0, token1, fee). Raises BadField.
    from_fields: Callable[[Fields, Address, str, Address, Address, Ppm], Pool]
    #: Those fields of a pool; None where no line can hold its state (nothing in it, or not read).
    own_fields: Callable[[Pool], dict[str, object] | None]
    #: What a swap changes, as JSON.
    state_fields: Callable[[Pool], dict[str, object]]
    #: First topics of the events that change a pool of the family.
    log_topics: frozenset[str]
    #: First topics of its trades, whether they tell the state after them or not.
    swap_topics: frozenset[str]
    #: The pool after one such log of its own. Raises LogRefused where the log does not fit the pool as it is kept.
    apply_log: Callable[[Pool, Log], Pool]
    #: The pool with nothing known of its state: every swap on it reverts, and `read_calls` reads all of it.
    unread: Callable[[Pool], Pool]
    #: Whether logs alone will soon not be enough (a price near the edge of the ticks that were read).
    wants_reading: Callable[[Pool], bool]
    #: What of the first, kept, is not as in the second, read at the same block; "" where all is.
    difference: Callable[[Pool, Pool], str]
