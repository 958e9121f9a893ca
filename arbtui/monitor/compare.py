"""Two reports side by side: two windows of one store, or two stores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from arbtui.errors import UsageError
from arbtui.monitor.report import parse_since
from arbtui.units import format_amount

#: What is compared, and what it is: wei of the numeraire, a count, a share, seconds, a plain number or gas.
FIGURES = {
    "net_profit": "wei",
    "executions": "count",
    "successes": "count",
    "success_rate": "share",
    "avg_profit": "wei",
    "expectancy": "wei",
    "profit_factor": "number",
    "max_drawdown": "wei",
    "realised_share": "share",
    "gas_spent_wei": "wei",
    "gas_wasted_wei": "wei",
    "gas_share": "share",
    "gas_efficiency": "gas",
    "p50_execution_time_s": "seconds",
    "p95_execution_time_s": "seconds",
    "tickets": "count",
    "missed_expected_net_wei": "wei",
    "unreconciled": "count",
}


def other_side(text: str, since: str | None, now: str) -> tuple[Path | None, str | None, str | None]:
    """What `--compare` names: a store directory, or a window as (None, since, until).

    `previous` is the window of the same length before `since`; `FROM..TO` takes durations or times, either may be
    empty. Raises UsageError for anything else.
    """
    if text == "previous":
        if since is None:
            raise UsageError("compare: previous needs --since: it is the window of the same length before it")
        start = datetime.fromisoformat(since)
        length = datetime.fromisoformat(now) - start
        return None, (start - length).isoformat(timespec="microseconds"), since
    if ".." in text and not Path(text).is_dir():
        first, _, last = text.partition("..")
        return None, parse_since(first, now) if first else None, parse_since(last, now) if last else None
    if Path(text).is_dir():
        return Path(text), None, None
    raise UsageError(
        f"compare: {text[:60]!r} is neither previous, nor a window such as 14d..7d, nor a store directory"
    )


def compare(a: Mapping[str, Any], b: Mapping[str, Any], name_a: str, name_b: str) -> dict[str, Any]:
    """Both reports and what changed from a to b; a difference with something that is missing is None.

    `rates_overlap`: whether the success rates' intervals do, None where one has none. Raises UsageError for reports in
    different coins.
    """
    if a["numeraire"] != b["numeraire"]:
        raise UsageError(
            f"compare: one counts in {a['numeraire']['symbol']}, the other in {b['numeraire']['symbol']}"
        )
    one, other = _flat(a), _flat(b)
    change = {}
    for name, kind in FIGURES.items():
        x, y = one[name], other[name]
        difference: Any = None
        if x is not None and y is not None:
            difference = str(int(y) - int(x)) if kind == "wei" else y - x
        change[name] = {"a": x, "b": y, "difference": difference}
    low, high = a["success_interval"], b["success_interval"]
    overlap = None if low is None or high is None else low[0] <= high[1] and high[0] <= low[1]
    return {
        "names": {"a": name_a, "b": name_b},
        "change": change,
        "rates_overlap": overlap,
        "a": dict(a),
        "b": dict(b),
    }


def figure_text(kind: str, value: Any, unit: Mapping[str, Any], *, signed: bool = False) -> str:
    """One of FIGURES for a person."""
    if value is None:
        return "-"
    sign = "+" if signed and float(value) > 0 else ""
    match kind:
        case "wei":
            return f"{sign}{format_amount(int(value), unit['decimals'], 6)} {unit['symbol']}"
        case "share":
            return f"{sign}{value:.1%}"
        case "seconds":
            return f"{sign}{value:.2f} s"
        case "number":
            return f"{sign}{value:.2f}"
        case _:
            return f"{sign}{value:,.0f}"


def _flat(report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: report.get(name) for name in FIGURES},
        "expectancy": report["profit"]["expectancy_wei"],
        "profit_factor": report["profit"]["profit_factor"],
        "max_drawdown": report["profit"]["max_drawdown_wei"],
        "realised_share": report["expected"]["successes"]["ratio"],
        "gas_wasted_wei": report["gas"]["wasted_wei"],
        "tickets": report["funnel"]["tickets"],
        "missed_expected_net_wei": report["missed"]["expected_net_wei"],
    }
