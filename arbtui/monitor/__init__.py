"""What was earned, what was missed and why: one fold, shared by report, desk, notebooks, metrics and alerts.

performance  the fold, and PerformanceMonitor
report       the store's rows through the fold: the object of `arbtui report --json`, and the ledger
compare      two reports side by side
html         the report as one page
reconcile    balances beside settlements: what does not fit, and that it stops sending
rules, lookout, book, channels, watch  alerts: what there is, what holds, what is told, where it goes, the loop
metrics      figures for Prometheus, and a health answer
"""

from arbtui.monitor.lenders import LenderRecord, lender_record
from arbtui.monitor.performance import ExecutionFacts, Performance, PerformanceMonitor, fold
from arbtui.monitor.report import build_report, ledger_rows, parse_since
from arbtui.monitor.strategies import StrategyRecord, strategy_record

__all__ = [
    "ExecutionFacts",
    "LenderRecord",
    "Performance",
    "PerformanceMonitor",
    "StrategyRecord",
    "build_report",
    "fold",
    "ledger_rows",
    "lender_record",
    "parse_since",
    "strategy_record",
]
