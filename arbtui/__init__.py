"""ARBTUI: an operator's console and execution toolkit for on-chain DEX arbitrage with flash loans.

What a notebook imports is here, flat; each name is loaded when it is first used.

    ErrorRecoverySystem   what to do about an error, by its class and the execution's state
    FlashLoanManager      quote every lender, choose the cheapest all-in, execute through it
    GasOptimizedExecutor  climb a gas strategy's fee ladder for one transaction
    OpportunityValidator  every check with observed value, limit and margin
    PerformanceMonitor    record executions, report on them
    find_opportunities    cycles that pay in a market, with exact amounts
    load_snapshot         a market from a snapshot file
    open_store            what happened, read-only
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arbtui.execution.executor import GasOptimizedExecutor
    from arbtui.lenders.manager import FlashLoanManager
    from arbtui.market.snapshot import load_snapshot
    from arbtui.monitor.performance import PerformanceMonitor
    from arbtui.recovery.playbook import ErrorRecoverySystem
    from arbtui.search.finder import find_opportunities
    from arbtui.store.queries import open_store
    from arbtui.validation.validator import OpportunityValidator

__version__ = "0.1.0"

__all__ = [
    "ErrorRecoverySystem",
    "FlashLoanManager",
    "GasOptimizedExecutor",
    "OpportunityValidator",
    "PerformanceMonitor",
    "find_opportunities",
    "load_snapshot",
    "open_store",
]

_HOMES = {
    "ErrorRecoverySystem": "arbtui.recovery.playbook",
    "FlashLoanManager": "arbtui.lenders.manager",
    "GasOptimizedExecutor": "arbtui.execution.executor",
    "OpportunityValidator": "arbtui.validation.validator",
    "PerformanceMonitor": "arbtui.monitor.performance",
    "find_opportunities": "arbtui.search.finder",
    "load_snapshot": "arbtui.market.snapshot",
    "open_store": "arbtui.store.queries",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
