"""What was earned, what was missed and why: one fold, shared by the report and by PerformanceMonitor."""

from arbtui.monitor.lenders import LenderRecord, lender_record
from arbtui.monitor.performance import ExecutionFacts, Performance, PerformanceMonitor, fold
from arbtui.monitor.report import build_report, ledger_rows, parse_since

__all__ = [
    "ExecutionFacts",
    "LenderRecord",
    "Performance",
    "PerformanceMonitor",
    "build_report",
    "fold",
    "ledger_rows",
    "lender_record",
    "parse_since",
]
