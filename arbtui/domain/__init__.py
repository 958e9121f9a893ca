"""Frozen values that every room speaks of; no behaviour beyond what follows from their own fields."""

from arbtui.domain.calls import BlockRef, Call, CallResult
from arbtui.domain.checks import CheckResult
from arbtui.domain.execution import (
    ALLOWED_MOVES,
    FINAL_STATUSES,
    Attempt,
    AttemptKind,
    Delivery,
    ExecutionStatus,
    Visibility,
    may_move,
)
from arbtui.domain.gas import FeeLadder, FeeStep
from arbtui.domain.loans import LENDER_CODES, POOL_LENDERS, LenderId, LoanQuote
from arbtui.domain.market import ForeignTrade, Hop, HopAmount, Opportunity, Path, PoolKind, Token
from arbtui.domain.missed import ClosedBy, Closing
from arbtui.domain.receipts import Log, Receipt, Simulated
from arbtui.domain.settlement import NATIVE, Delta, Settlement
from arbtui.domain.tickets import ConversionRate, Decision, DecisionKind, Fallback, Stage, Ticket

__all__ = [
    "ALLOWED_MOVES",
    "FINAL_STATUSES",
    "LENDER_CODES",
    "NATIVE",
    "POOL_LENDERS",
    "Attempt",
    "AttemptKind",
    "BlockRef",
    "Call",
    "CallResult",
    "CheckResult",
    "ClosedBy",
    "Closing",
    "ConversionRate",
    "Decision",
    "DecisionKind",
    "Delivery",
    "Delta",
    "ExecutionStatus",
    "Fallback",
    "FeeLadder",
    "FeeStep",
    "ForeignTrade",
    "Hop",
    "HopAmount",
    "LenderId",
    "LoanQuote",
    "Log",
    "Opportunity",
    "Path",
    "PoolKind",
    "Receipt",
    "Settlement",
    "Simulated",
    "Stage",
    "Ticket",
    "Token",
    "Visibility",
    "may_move",
]
