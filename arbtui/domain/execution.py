from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from arbtui.units import Wei


class ExecutionStatus(StrEnum):
    """Life of one approved ticket. PAPER never leaves: nothing was signed for it."""

    PAPER = "paper"
    PREPARED = "prepared"
    SUBMITTED = "submitted"
    MINED = "mined"
    REVERTED = "reverted"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


_S = ExecutionStatus
#: Every move there is; odd but real ones included. MINED, REVERTED and CANCELLED go back after a reorg; so does
#: EXPIRED, where the stranger's transaction that used the nonce is undone.
ALLOWED_MOVES: dict[ExecutionStatus, frozenset[ExecutionStatus]] = {
    _S.PAPER: frozenset(),
    _S.PREPARED: frozenset({_S.SUBMITTED, _S.MINED, _S.REVERTED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED}),
    _S.SUBMITTED: frozenset({_S.MINED, _S.REVERTED, _S.CANCELLED, _S.EXPIRED}),
    _S.MINED: frozenset({_S.SUBMITTED, _S.REVERTED}),
    _S.REVERTED: frozenset({_S.SUBMITTED, _S.MINED}),
    _S.CANCELLED: frozenset({_S.SUBMITTED, _S.MINED, _S.REVERTED}),
    _S.EXPIRED: frozenset({_S.SUBMITTED, _S.MINED, _S.REVERTED, _S.CANCELLED}),
    _S.REJECTED: frozenset(),
}

#: Nothing more is owed to these unless the chain reorganises.
FINAL_STATUSES = frozenset({_S.PAPER, _S.MINED, _S.REVERTED, _S.CANCELLED, _S.EXPIRED, _S.REJECTED})


def may_move(old: ExecutionStatus, new: ExecutionStatus) -> bool:
    return new in ALLOWED_MOVES[old]


class AttemptKind(StrEnum):
    TRADE = "trade"
    CANCEL = "cancel"


class Visibility(StrEnum):
    """Who was shown the bytes of an attempt. PRIVATE ones never reach a public node."""

    PUBLIC = "public"
    PRIVATE = "private"


class Delivery(StrEnum):
    """What one send tells of the bytes' whereabouts. AMBIGUOUS is the honest answer to a timeout."""

    UNSENT = "unsent"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    NOT_DELIVERED = "not_delivered"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction of an execution: same nonce, its own fees, its own hash."""

    execution_id: str
    number: int
    kind: AttemptKind
    nonce: int
    tx_hash: str
    raw: bytes
    max_fee_per_gas: Wei
    max_priority_fee_per_gas: Wei
    delivery: Delivery = Delivery.UNSENT
    error: str = ""
    visibility: Visibility = Visibility.PUBLIC
