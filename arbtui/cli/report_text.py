"""The report for a person in a terminal; good at 80 columns, two tables abreast from 110 on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from arbtui.monitor.compare import FIGURES, figure_text
from arbtui.monitor.times import local_time, zone_name
from arbtui.text import safe_text
from arbtui.units import format_amount

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-:=+*#"
_ABREAST = 110


def sparkline(values: Sequence[float], width: int = 48, *, ascii_only: bool = False) -> str:
    """The values as one line of bars, lowest to highest; of more than `width` the last of each part."""
    if not values:
        return ""
    if len(values) > width:
        values = [values[-(-(i + 1) * len(values) // width) - 1] for i in range(width)]
    signs = _ASCII if ascii_only else _BLOCKS
    low, high = min(values), max(values)
    if high == low:
        return signs[0 if high <= 0 else -1] * len(values)
    return "".join(signs[round((value - low) / (high - low) * (len(signs) - 1))] for value in values)


def show_report(answer: Mapping[str, Any]) -> None:
    """The report on standard output; the JSON has all of it."""
    console = Console(highlight=False)
    for part in _parts(answer, console.width):
        console.print(part)


def show_comparison(answer: Mapping[str, Any]) -> None:
    """Two reports side by side, with what changed."""
    console = Console(highlight=False)
    unit = answer["a"]["numeraire"]
    shown = _table(
        ["", safe_text(answer["names"]["a"], 30), safe_text(answer["names"]["b"], 30), "change"], (1, 2, 3)
    )
    for name, kind in FIGURES.items():
        entry = answer["change"][name]
        cells = [figure_text(kind, entry[key], unit) for key in ("a", "b")]
        change = figure_text(kind, entry["difference"], unit, signed=True)
        shown.add_row(
            *(
                Text(cell)
                for cell in (name.removesuffix("_wei").removesuffix("_s").replace("_", " "), *cells, change)
            )
        )
    console.print(shown)
    if answer["rates_overlap"] is not None:
        console.print(
            Text(
                "the success rates' 95 % intervals overlap: the difference may be chance"
                if answer["rates_overlap"]
                else "the success rates' 95 % intervals are apart: more than chance"
            )
        )


def _parts(answer: Mapping[str, Any], width: int) -> list[RenderableType]:
    unit = answer["numeraire"]
    window = answer["window"]
    since = local_time(window["since"]) if window["since"] else "the start"
    paper = " · paper: nothing was sent" if answer["stage"] in ("observe", "paper") else ""
    parts: list[RenderableType] = [
        Text(f"{since} to {local_time(window['until'])} {zone_name(window['until'])}{paper}", style="dim"),
        _headline(answer, width),
    ]
    if answer["unreconciled"]:
        parts += [Text(""), _unreconciled(answer)]
    tables = [
        table for table in (_lenders(answer), _tokens(answer), _times(answer), _decisions(answer)) if table
    ]
    if width >= _ABREAST:
        for one, other in zip(tables[::2], [*tables[1::2], None], strict=False):
            grid = Table.grid(padding=(0, 4, 0, 0))
            grid.add_row(one, other or "")
            parts += [Text(""), grid]
    else:
        for table in tables:
            parts += [Text(""), table]
    closed = answer["missed"]["closed"]
    foreign = closed["by"]["foreign"]
    if foreign["opportunities"]:
        best = next(iter(closed["senders"].items()), None)
        most = f"; most by {safe_text(best[0], 44)}" if best else ""
        told = (
            f"closed by others: {foreign['opportunities']} opportunities,"
            f" {_coin(foreign['net_wei'], unit)}{most}"
        )
        parts += [Text(""), Text(told)]
    for title, counts in (
        ("dropped by", answer["dropped"]),
        ("errors", answer["error_counts"]),
        ("incidents", {kind: entry["count"] for kind, entry in answer["incidents"].items()}),
        ("recovery", {name.replace("_", " "): n for name, n in answer["recovery"].items() if n}),
    ):
        if counts:
            parts += [
                Text(""),
                Text(f"{title}: " + ", ".join(f"{safe_text(n)} {c}" for n, c in counts.items())),
            ]
    return parts


def _headline(answer: Mapping[str, Any], width: int) -> RenderableType:
    unit = answer["numeraire"]
    profit, gas, promise = answer["profit"], answer["gas"], answer["expected"]["successes"]
    interval = answer["success_interval"]
    likely = f", likely {interval[0]:.0%} to {interval[1]:.0%}" if interval else ""
    factor = profit["profit_factor"]
    won = f"{factor:.2f}" if factor is not None else "∞ (0 losses)" if profit["wins"] else "-"
    missed = answer["missed"]
    rows = [
        ("net profit", _coin(answer["net_profit"], unit)),
        (
            "executions",
            f"{answer['executions']}, succeeded {_share(answer['success_rate'])}{likely}",
        ),
        *(
            [
                (
                    "nonce fillers",
                    f"{answer['fillers']}, {_coin(answer['filler_net_wei'], unit)}; in no other count",
                )
            ]
            if answer["fillers"]
            else []
        ),
        ("average profit", f"{_coin(answer['avg_profit'], unit)} a success"),
        ("expectancy", f"{_coin(profit['expectancy_wei'], unit)} a settled one"),
        ("won ÷ lost", f"{won}; {profit['wins']} won, {profit['losses']} lost"),
        ("deepest fall", _coin(profit["max_drawdown_wei"], unit)),
        (
            "realised",
            f"{_share(promise['ratio'])} of what was expected of {promise['executions']} successes",
        ),
        (
            "gas spent",
            f"{_coin(answer['gas_spent_wei'], unit)}, {_share(answer['gas_share'])} of gross;"
            f" wasted {_coin(gas['wasted_wei'], unit)}",
        ),
        (
            "decision to receipt",
            f"p50 {_seconds(answer['p50_execution_time_s'])}, p95 {_seconds(answer['p95_execution_time_s'])}",
        ),
        (
            "missed at most",
            f"{_coin(missed['expected_net_wei'], unit)} on {missed['tickets']} tickets,"
            f" {missed['moved_by_others']} moved by others",
        ),
        ("unreconciled", str(answer["unreconciled"])),
        ("not compared yet", str(answer["not_yet_reconciled"])),
    ]
    shown = _table(["", ""])
    shown.show_header = False
    for name, value in rows:
        style = "bold red" if name == "unreconciled" and answer["unreconciled"] else ""
        if name == "not compared yet" and answer["not_yet_reconciled"]:
            style = "yellow"
        shown.add_row(Text(name), Text(value, style=style))
    series = answer["series"]
    if len(series) < 2:
        return shown
    bars = min(48, width - 24)
    plain = "UTF-8" not in os.environ.get("LC_ALL", os.environ.get("LANG", "C.UTF-8")).upper()
    for name, key in (("running total", "total_wei"), ("net by time", "net_wei")):
        line = sparkline([int(bucket[key]) / 1e18 for bucket in series], bars, ascii_only=plain)
        shown.add_row(Text(name), Text(line))
    return shown


def _unreconciled(answer: Mapping[str, Any]) -> RenderableType:
    lines = []
    for entry in answer["unreconciled_named"][:10]:
        number = f"#{entry['reconciliation']}" if entry["reconciliation"] else ""
        which = " ".join(part for part in (entry.get("execution"), number) if part)
        block = entry.get("block") or f"{entry.get('from_block')}-{entry.get('to_block')}"
        text = f"{entry['what']} {which}, block {block}: {safe_text(entry['difference'], 400)}"
        lines.append(Text(text, style="red", overflow="fold"))
    if len(answer["unreconciled_named"]) > len(lines):
        lines.append(Text(f"and {len(answer['unreconciled_named']) - len(lines)} more"))
    return Group(*lines)


def _lenders(answer: Mapping[str, Any]) -> Table | None:
    if not answer["by_lender"]:
        return None
    shown = _table(["lender", "executions", "succeeded", "net profit"], (1, 2, 3))
    for name, row in sorted(answer["by_lender"].items(), key=lambda item: -int(item[1]["net_profit"])):
        cells = (
            name,
            str(row["executions"]),
            _share(row["success_rate"]),
            _coin(row["net_profit"], answer["numeraire"]),
        )
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def _tokens(answer: Mapping[str, Any]) -> Table | None:
    if not answer["by_token"]:
        return None
    shown = _table(["token", "change over all accounts"], (1,))
    for symbol, token in answer["by_token"].items():
        shown.add_row(Text(symbol), Text(format_amount(int(token["delta"]), token["decimals"])))
    return shown


def _times(answer: Mapping[str, Any]) -> Table | None:
    rows = {name: entry for name, entry in answer["times"].items() if entry}
    if not rows:
        return None
    shown = _table(["step", "p50", "p95", "longest"], (1, 2, 3))
    for name, entry in rows.items():
        cells = (name.replace("_", " "), *(_seconds(entry[key]) for key in ("p50_s", "p95_s", "max_s")))
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def _decisions(answer: Mapping[str, Any]) -> Table | None:
    rows = {kind: entry for kind, entry in answer["decision_costs"].items() if entry["tickets"]}
    if not rows:
        return None
    shown = _table(["last word", "tickets", "promised", "realised"], (1, 2, 3))
    for kind, entry in rows.items():
        realised = _coin(entry["realised_net_wei"], answer["numeraire"]) if entry["settled"] else "-"
        cells = (
            kind.replace("_", " "),
            str(entry["tickets"]),
            _coin(entry["expected_net_wei"], answer["numeraire"]),
            realised,
        )
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def _table(heads: Sequence[str], right: Sequence[int] = ()) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for index, head in enumerate(heads):
        shown.add_column(Text(head), justify="right" if index in right else "left", overflow="fold")
    return shown


def _coin(amount: str | None, unit: Mapping[str, Any]) -> str:
    return "-" if amount is None else f"{format_amount(int(amount), unit['decimals'], 6)} {unit['symbol']}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
