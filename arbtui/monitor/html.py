"""The report as one HTML file: no script, nothing fetched, pictures as inline SVG, light, dark and on paper.

Every figure is one of `build_report`'s; every string of the store is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any

from arbtui.monitor.times import local_time, zone_name
from arbtui.text import safe_text
from arbtui.units import format_amount

_STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--dim:#626b76;--line:#d9dee4;--card:#f6f8fa;
--good:#0072b2;--bad:#d55e00;--soft:#9cc7e4;--warn:#b25600}
@media (prefers-color-scheme:dark){:root{--bg:#12161b;--ink:#e6eaee;--dim:#98a3af;--line:#313943;--card:#1a2027;
--good:#56b4e9;--bad:#f08030;--soft:#2d5d7d;--warn:#ffa657}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:24px;background:var(--bg);color:var(--ink);
font:14px/1.45 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:22px;margin:0 0 4px}h2{font-size:15px;margin:28px 0 8px}p{margin:4px 0}.dim{color:var(--dim)}
.tag{display:inline-block;border:1px solid;border-radius:4px;padding:1px 8px;font-weight:600;font-size:12px}
.bad{color:var(--bad)}.good{color:var(--good)}.warn{color:var(--warn)}
.cards{display:grid;grid-template-columns:repeat(4,1fr);gap:10px;margin-top:16px}
.card{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px 12px;break-inside:avoid}
.card b{display:block;font-size:19px;font-variant-numeric:tabular-nums;white-space:nowrap}
.card span{color:var(--dim);font-size:12px;display:block}
.two{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 28px}
figure{margin:0;break-inside:avoid}figcaption{color:var(--dim);font-size:12px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--dim);font-size:11px}svg .ink{fill:var(--ink)}
.grid{stroke:var(--line);stroke-width:1}.zero{stroke:var(--dim);stroke-width:1}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th{color:var(--dim);font-weight:600;font-size:12px}.r{text-align:right}.wrap{white-space:normal;overflow-wrap:anywhere}
code{font:12px ui-monospace,"DejaVu Sans Mono",monospace}
@media screen and (max-width:760px){.cards{grid-template-columns:repeat(2,1fr)}.two{grid-template-columns:1fr}}
@media print{:root{--bg:#fff;--ink:#000;--dim:#444;--line:#bbb;--card:#fff;--good:#0072b2;--bad:#d55e00;--soft:#9cc7e4}
@page{size:A4;margin:12mm}body{max-width:none;padding:0;font-size:10px}.card b{font-size:14px}
.card span,th,code{font-size:9px}.scroll{overflow:visible}th,td{padding:3px 6px 3px 0;white-space:normal;
overflow-wrap:anywhere}.cards{gap:6px}.two{gap:0 18px}
h2{margin-top:16px;break-after:avoid}tr{break-inside:avoid}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def html_report(report: Mapping[str, Any], *, title: str = "ARBTUI report", made_at: str) -> str:
    """A whole page of a `build_report` object; `made_at` as the store writes times."""
    coin = _Coin(report["numeraire"]["symbol"], int(report["numeraire"]["decimals"]))
    window = report["window"]
    paper = report["stage"] in ("observe", "paper")
    wrong, later = int(report["unreconciled"]), int(report["not_yet_reconciled"])
    since = local_time(window["since"]) if window["since"] else "the start"
    zone = zone_name(window["until"])
    tags = [
        _tag(str(report["stage"] or "no run").upper(), "warn" if paper else "good"),
        _tag(f"unreconciled: {wrong}", "bad") if wrong else "",
        _tag(f"not compared yet: {later}", "warn") if later else "",
        _tag("reconciled to the last unit", "good")
        if report["profit"]["settled"] and not wrong and not later
        else "",
        _tag("paper: nothing was sent, nothing here was earned", "warn") if paper else "",
    ]
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{' '.join(tag for tag in tags if tag)}</p>",
        f'<p class="dim">{escape(since)} to {escape(local_time(window["until"]))} '
        f"(shown in {escape(zone)}, stored in UTC) · runs: {report['runs']} · made {escape(local_time(made_at))}</p>",
        _cards(report, coin),
        _unreconciled(report),
        _figure(
            "Running total", _curve(report, coin), f"net in {coin.symbol} by time of receipt, {_step(report)}"
        ),
        '<div class="two">',
        _figure("Net by time", _bars(report, coin), f"net of each step in {coin.symbol}; reverts cost gas"),
        _figure("Distribution", _histogram(report, coin), f"settled executions by net, {coin.symbol}"),
        _figure("By lender", _groups_chart(report["by_lender"], coin, pretty), f"net, {coin.symbol}"),
        _figure(
            "Where it went",
            _funnel(report["funnel"]),
            "each opportunity once for each block it was recorded on",
        ),
        _figure("Times", _times(report["times"]), "seconds, median and 95th percentile"),
        _figure("Decisions", _counts_chart(report["decisions"]), "by kind"),
        "</div>",
        _figure("By hour of the day", _hours(report["by_hour"], coin), "net by hour of the decision, UTC"),
        "<h2>Expected and realised</h2>",
        _promises(report, coin),
        *_group_tables(report, coin),
        "<h2>Tokens, all accounts</h2>",
        _table(
            ("token", "change over executor, wallet and treasury"),
            [
                (_text(symbol), format_amount(int(token["delta"]), token["decimals"]))
                for symbol, token in report["by_token"].items()
            ],
            right=(1,),
        ),
        "<h2>Decisions, and what they cost or saved</h2>",
        _decisions(report, coin),
        "<h2>Missed, and who took it</h2>",
        _missed(report["missed"], coin),
        '<div class="two"><div><h2>Dropped by</h2>',
        _table(("check", "opportunities"), _counted(report["dropped"]), right=(1,)),
        "</div><div><h2>Errors and incidents</h2>",
        _table(
            ("class or kind", "count", "last"),
            [
                *((_text(name), f"{n:,}", "") for name, n in report["error_counts"].items()),
                *(
                    (_text(name), f"{entry['count']:,}", escape(local_time(entry["last"])))
                    for name, entry in report["incidents"].items()
                ),
            ],
            right=(1,),
        ),
        "</div></div>",
        "<h2>Recovery</h2>",
        _table(
            tuple(name.replace("_", " ") for name in report["recovery"]),
            [tuple(f"{n:,}" for n in report["recovery"].values())],
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def pretty(name: str) -> str:
    """`aave_v3` is Aave v3."""
    words = safe_text(name, 40).replace("_", " ")
    return words[:1].upper() + words[1:]


class _Coin:
    """Wei as text, and as floats for pictures alone."""

    def __init__(self, symbol: str, decimals: int) -> None:
        self.symbol = safe_text(symbol, 16)
        self.decimals = decimals

    def text(self, wei: str | int | None, places: int = 6) -> str:
        return "n/a" if wei is None else format_amount(int(wei), self.decimals, places)

    def real(self, wei: str | int) -> float:
        return float(int(wei) / int(10**self.decimals))


# ---- cards and tables


def _tag(text: str, tone: str) -> str:
    return f'<span class="tag {tone}">{escape(text)}</span>'


def _cards(report: Mapping[str, Any], coin: _Coin) -> str:
    profit, gas, promise = report["profit"], report["gas"], report["expected"]["successes"]
    interval = report["success_interval"]
    rate = _share(report["success_rate"])
    missed = report["missed"]
    cards = [
        (
            "net profit, " + coin.symbol,
            coin.text(report["net_profit"]),
            f"exactly {int(report['net_profit']):,} wei",
        ),
        (
            "success rate",
            rate,
            f"{report['successes']} of {report['delivered']} sent"
            + (f"; likely {interval[0]:.0%} to {interval[1]:.0%}" if interval else "")
            + (f"; {report['fillers']} nonce fillers apart" if report["fillers"] else ""),
        ),
        (
            "expectancy, " + coin.symbol,
            coin.text(profit["expectancy_wei"]),
            f"mean of {profit['settled']} settled",
        ),
        (
            "won ÷ lost",
            _factor(profit),
            f"{profit['wins']} won, {profit['losses']} lost, {profit['even']} even",
        ),
        (
            "deepest fall, " + coin.symbol,
            coin.text(profit["max_drawdown_wei"]),
            f"longest losing run {profit['longest_losing_run']}",
        ),
        (
            "gas paid, " + coin.symbol,
            coin.text(report["gas_spent_wei"]),
            f"{_share(report['gas_share'])} of net + gas; wasted {coin.text(gas['wasted_wei'])}",
        ),
        (
            "realised ÷ expected",
            _share(promise["ratio"]),
            f"{promise['executions']} successes; difference {coin.text(promise['difference_wei'])}",
        ),
        (
            "decision to receipt",
            _seconds(report["p50_execution_time_s"]),
            f"median; 95th percentile {_seconds(report['p95_execution_time_s'])}",
        ),
        (
            "missed at most, " + coin.symbol,
            coin.text(missed["expected_net_wei"]),
            f"{missed['tickets']} tickets, {missed['moved_by_others']} moved by others",
        ),
        (
            "without the best, " + coin.symbol,
            coin.text(profit["without_best_wei"]),
            "net without the one best",
        ),
        ("gas per success", _whole(report["gas_efficiency"]), "mean gas used"),
        ("unreconciled", str(report["unreconciled"]), _followed(report["reconciliation"])),
    ]
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><span>{escape(name)}</span><b>{escape(value)}</b><span>{escape(note)}</span></div>'
            for name, value, note in cards
        )
        + "</div>"
    )


def _followed(told: Mapping[str, Any]) -> str:
    if told["through_block"] is None:
        return "balances not followed yet"
    return f"balances followed through block {told['through_block']}, {told['open']} differences open"


def _unreconciled(report: Mapping[str, Any]) -> str:
    if not report["unreconciled_named"]:
        return ""
    rows = [
        (
            escape(str(entry["what"])),
            f"<code>{escape(str(entry.get('execution') or entry.get('reconciliation')))}</code>"
            + (
                f" (#{entry['reconciliation']})" if entry.get("execution") and entry["reconciliation"] else ""
            ),
            escape(str(entry.get("block") or f"{entry.get('from_block')}–{entry.get('to_block')}")),
            f'<span class="bad">{escape(safe_text(entry["difference"], 600))}</span>',
        )
        for entry in report["unreconciled_named"]
    ]
    return "<h2>Unreconciled</h2>" + _table(("what", "which", "block", "difference"), rows, wrap=(3,))


def _promises(report: Mapping[str, Any], coin: _Coin) -> str:
    rows = [
        (
            name,
            f"{entry['executions']:,}",
            coin.text(entry["expected_wei"]),
            coin.text(entry["realised_wei"]),
            coin.text(entry["difference_wei"]),
            _share(entry["ratio"]),
        )
        for name, entry in report["expected"].items()
    ]
    heads = (
        "of all",
        "executions",
        f"expected, {coin.symbol}",
        "realised",
        "difference",
        "realised ÷ expected",
    )
    return _table(heads, rows, right=(1, 2, 3, 4, 5))


def _group_tables(report: Mapping[str, Any], coin: _Coin) -> Iterable[str]:
    for title, key in (
        ("Lenders", "by_lender"),
        ("Gas strategies", "by_gas_strategy"),
        ("Base tokens", "by_base_token"),
        ("Paths", "by_path"),
    ):
        yield f"<h2>{title}</h2>"
        rows = []
        groups = sorted(report[key].items(), key=lambda item: -int(item[1]["net_profit"]))
        for name, row in groups[:50]:
            shown = escape(pretty(name)) if key == "by_lender" else escape(safe_text(name, 60))
            if key == "by_path":
                dexes = ", ".join(safe_text(dex, 24) for dex in row["dexes"])
                shown = f"<code>{escape(safe_text(name, 20))}</code> {escape(dexes)}"
            rows.append(
                (
                    shown,
                    f"{row['executions']:,}",
                    _share(row["success_rate"]),
                    coin.text(row["net_profit"]),
                    coin.text(row["avg_profit"]),
                    coin.text(row["gas_spent_wei"]),
                    coin.text(row["gas_wasted_wei"]),
                    _share(row["realised_share"]),
                )
            )
        heads = (
            title[:-1].lower() if title != "Gas strategies" else "strategy",
            *("executions", "succeeded", f"net, {coin.symbol}", "mean of a success", "gas", "gas wasted"),
            "realised ÷ expected",
        )
        yield _table(heads, rows, right=tuple(range(1, 8)))
        if len(groups) > 50:
            yield f'<p class="dim">and {len(groups) - 50} more</p>'


def _decisions(report: Mapping[str, Any], coin: _Coin) -> str:
    rows = [
        (
            escape(kind.replace("_", " ")),
            f"{entry['tickets']:,}",
            coin.text(entry["expected_net_wei"]),
            f"{entry['settled']:,}",
            coin.text(entry["realised_net_wei"]) if entry["settled"] else "",
            coin.text(entry["saved_wei"]) if entry["saved_wei"] != "0" else "",
        )
        for kind, entry in report["decision_costs"].items()
        if entry["tickets"]
    ]
    heads = ("last word", "tickets", f"promised, {coin.symbol}", "settled", "realised", "gas saved, about")
    return _table(heads, rows, right=(1, 2, 3, 4, 5))


def _missed(missed: Mapping[str, Any], coin: _Coin) -> str:
    closed = missed["closed"]
    who = _table(
        ("ended by", "opportunities", f"would have left, {coin.symbol}"),
        [(escape(w), f"{e['opportunities']:,}", coin.text(e["net_wei"])) for w, e in closed["by"].items()],
        right=(1, 2),
    )
    senders = _table(
        ("sender", "opportunities", f"took, {coin.symbol}"),
        [
            (f"<code>{escape(safe_text(s, 44))}</code>", f"{e['opportunities']:,}", coin.text(e["net_wei"]))
            for s, e in closed["senders"].items()
        ],
        right=(1, 2),
    )
    return f'<div class="two"><div>{who}</div><div>{senders}</div></div>'


def _counted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    return [
        (escape(name), f"{n:,}") for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), wrap: Sequence[int] = ()
) -> str:
    """Cells are HTML already; heads are text."""
    if not rows:
        return '<p class="dim">nothing in this window</p>'

    def kind(index: int) -> str:
        names = " ".join(["r"] * (index in right) + ["wrap"] * (index in wrap))
        return f' class="{names}"' if names else ""

    top = "".join(f"<th{kind(i)}>{escape(head)}</th>" for i, head in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


# ---- pictures

_WIDE = 540.0
_LEFT = 62.0


def _figure(title: str, picture: str, caption: str) -> str:
    inner = (
        f"{picture}<figcaption>{escape(caption)}</figcaption>"
        if picture
        else '<p class="dim">nothing in this window</p>'
    )
    return f"<figure><h2>{escape(title)}</h2>{inner}</figure>"


def _svg(width: float, height: float, parts: Iterable[str], label: str) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that span low to high: at least two, at most about `most` + 2."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _axis(ticks: Sequence[float], width: float, top: float, bottom: float) -> tuple[list[str], Any]:
    low, high = ticks[0], ticks[-1]

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    parts = []
    for tick in ticks:
        kind = "zero" if tick == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" x2="{width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    return parts, y


def _time_labels(series: Sequence[Mapping[str, Any]], xs: Sequence[float], y: float) -> list[str]:
    if not series:
        return []
    wanted = sorted({round(i * (len(series) - 1) / 4) for i in range(5)})
    step = int(series[0]["step_s"])
    out = []
    for i in wanted:
        anchor = "start" if i == 0 else "end" if i == len(series) - 1 else "middle"
        if len(series) == 1:
            anchor = "middle"
        text = _short_time(str(series[i]["at"]), step)
        out.append(f'<text x="{xs[i]:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>')
    return out


def _short_time(at: str, step: int) -> str:
    moment = datetime.fromisoformat(at).astimezone()
    return moment.strftime("%d %b" if step >= 86_400 else "%d %b %H:%M" if step >= 3_600 else "%H:%M:%S")


def _step(report: Mapping[str, Any]) -> str:
    if not report["series"]:
        return ""
    step = int(report["series"][0]["step_s"])
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if step % size == 0:
            return f"in steps of {step // size} {name}{'s' if step > size else ''}"
    return f"in steps of {step} second{'s' if step > 1 else ''}"


def _curve(report: Mapping[str, Any], coin: _Coin) -> str:
    series = report["series"]
    if not series:
        return ""
    width, height, top = 1072.0, 260.0, 10.0
    bottom = height - 24
    values = [0.0, *(coin.real(bucket["total_wei"]) for bucket in series)]
    parts, y = _axis(nice_ticks(min(values), max(values)), width, top, bottom)
    gap = (width - _LEFT - 8) / len(series)
    xs = [_LEFT + gap * i for i in range(len(values))]
    points = " ".join(f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, values, strict=True))
    heights: list[float] = []
    for value in values:
        heights.append(max(value, heights[-1] if heights else value))
    # What the sum lies under its highest before: the drawdown, shaded.
    shade = " ".join(f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, heights, strict=True))
    back = " ".join(f"{x:.1f},{y(v):.1f}" for x, v in zip(reversed(xs), reversed(values), strict=True))
    parts.append(f'<polygon points="{shade} {back}" fill="var(--bad)" opacity="0.25"/>')
    floor = f"{xs[-1]:.1f},{y(0):.1f} {xs[0]:.1f},{y(0):.1f}"
    parts.append(f'<polygon points="{points} {floor}" fill="var(--soft)" opacity="0.35"/>')
    parts.append(f'<polyline points="{points}" fill="none" stroke="var(--good)" stroke-width="2"/>')
    for i, bucket in enumerate(series, 1):
        tip = f"{local_time(bucket['at'])}: {coin.text(bucket['total_wei'], 9)} {coin.symbol}"
        parts.append(
            f'<circle cx="{xs[i]:.1f}" cy="{y(values[i]):.1f}" r="2.5" fill="var(--good)">'
            f"<title>{escape(tip)}</title></circle>"
        )
    parts += _time_labels(series, xs[1:], height - 6)
    return _svg(width, height, parts, "running total of net profit")


def _bars(report: Mapping[str, Any], coin: _Coin) -> str:
    series = report["series"]
    if not series:
        return ""
    height, top = 220.0, 10.0
    bottom = height - 24
    values = [coin.real(bucket["net_wei"]) for bucket in series]
    parts, y = _axis(nice_ticks(min(0.0, *values), max(0.0, *values)), _WIDE, top, bottom)
    gap = (_WIDE - _LEFT) / len(values)
    xs = [_LEFT + gap * (i + 0.5) for i in range(len(values))]
    for x, value, bucket in zip(xs, values, series, strict=True):
        if not bucket["executions"] and not int(bucket["net_wei"]):
            continue
        tip = f"{local_time(bucket['at'])}: {coin.text(bucket['net_wei'], 9)} {coin.symbol}"
        tip += f", {bucket['executions']} settled"
        parts.append(_bar(x - gap * 0.4, gap * 0.8, y(0), y(value), value >= 0, tip))
    parts += _time_labels(series, xs, height - 6)
    return _svg(_WIDE, height, parts, "net profit by time")


def _bar(x: float, width: float, zero: float, end: float, good: bool, tip: str) -> str:
    top, high = min(zero, end), max(1.0, abs(zero - end))
    tone = "good" if good else "bad"
    return (
        f'<rect x="{x:.1f}" y="{top:.1f}" width="{max(1.0, width):.1f}" height="{high:.1f}" fill="var(--{tone})">'
        f"<title>{escape(tip)}</title></rect>"
    )


def _histogram(report: Mapping[str, Any], coin: _Coin) -> str:
    bins = report["histogram"]
    if not bins:
        return ""
    height, top = 220.0, 10.0
    bottom = height - 24
    most = max(entry["count"] for entry in bins)
    ticks = [tick for tick in nice_ticks(0, most, 4) if tick == int(tick)]
    parts, y = _axis(ticks if len(ticks) > 1 else [0.0, float(most)], _WIDE, top, bottom)
    gap = (_WIDE - _LEFT) / len(bins)
    for i, entry in enumerate(bins):
        if entry["count"]:
            tip = f"{coin.text(entry['from_wei'])} to {coin.text(entry['to_wei'])} {coin.symbol}: {entry['count']}"
            good = int(entry["from_wei"]) >= 0
            parts.append(_bar(_LEFT + gap * (i + 0.06), gap * 0.88, y(0), y(entry["count"]), good, tip))
    low, high = coin.real(bins[0]["from_wei"]), coin.real(bins[-1]["to_wei"])
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = _LEFT + (_WIDE - _LEFT) * share
        parts.append(
            f'<text x="{x:.1f}" y="{height - 6}" text-anchor="{anchor}">{low + (high - low) * share:.4g}</text>'
        )
    if low < 0 < high:
        x = _LEFT + (_WIDE - _LEFT) * -low / (high - low)
        parts.append(f'<line class="zero" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
    return _svg(_WIDE, height, parts, "distribution of net profit")


def _rows_chart(rows: Sequence[tuple[str, float, str]], label: str, left: float = 130.0) -> str:
    """Horizontal bars: name, value (below 0 to the left of a zero line), text."""
    if not rows:
        return ""
    step, pad = 26.0, 96.0
    height = step * len(rows) + 6
    low = min(0.0, *(value for _, value, _ in rows))
    high = max(0.0, *(value for _, value, _ in rows)) or (0.0 if low else 1.0)
    scale = (_WIDE - left - pad) / ((high - low) or 1.0)
    zero = left - low * scale
    parts = []
    for i, (name, value, text) in enumerate(rows):
        y = i * step + 5
        x = zero + min(0.0, value) * scale
        tone = "good" if value >= 0 else "bad"
        end = max(zero, zero + value * scale)
        parts.append(f'<text class="ink" x="{left - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{max(1.0, abs(value) * scale):.1f}" height="17" fill="var(--{tone})"/>'
        )
        parts.append(f'<text x="{end + 6:.1f}" y="{y + 13}">{escape(text)}</text>')
    if low < 0:
        parts.append(f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{height}"/>')
    return _svg(_WIDE, height, parts, label)


def _groups_chart(groups: Mapping[str, Any], coin: _Coin, name_of: Any) -> str:
    ranked = sorted(groups.items(), key=lambda item: -int(item[1]["net_profit"]))[:10]
    rows = [
        (
            name_of(name),
            coin.real(row["net_profit"]),
            f"{coin.text(row['net_profit'], 4)} ({row['executions']})",
        )
        for name, row in ranked
    ]
    return _rows_chart(rows, "net profit by group")


def _funnel(funnel: Mapping[str, int]) -> str:
    if not any(funnel.values()):
        return ""
    most = max(funnel.values())
    # By the logarithm: from thousands seen to a handful mined.
    rows = [
        (name, math.log10(n + 1) / math.log10(most + 1) if n else 0.0, f"{n:,}") for name, n in funnel.items()
    ]
    return _rows_chart(rows, "opportunities, tickets and executions")


def _times(times: Mapping[str, Any]) -> str:
    rows = [
        (name.replace("_", " "), entry["p50_s"], f"{entry['p50_s']:.2f} / {entry['p95_s']:.2f} s")
        for name, entry in times.items()
        if entry
    ]
    return _rows_chart(rows, "time of each step", left=150.0)


def _counts_chart(counts: Mapping[str, int]) -> str:
    rows = [(name.replace("_", " "), float(n), f"{n:,}") for name, n in counts.items() if n]
    return _rows_chart(rows, "decisions by kind", left=150.0)


def _hours(hours: Mapping[str, Any], coin: _Coin) -> str:
    if not hours:
        return ""
    width, height = 1072.0, 62.0
    gap = width / 24
    nets = {name: coin.real(row["net_profit"]) for name, row in hours.items()}
    most = max((abs(net) for net in nets.values()), default=0.0) or 1.0
    parts = []
    for hour in range(24):
        name = f"{hour:02d}"
        x = hour * gap
        parts.append(
            f'<rect x="{x + 1:.1f}" y="2" width="{gap - 2:.1f}" height="36" fill="none" stroke="var(--line)"/>'
        )
        if name in nets:
            row = hours[name]
            tip = (
                f"{name}:00 UTC: {coin.text(row['net_profit'])} {coin.symbol}, {row['executions']} executions"
            )
            tone = "good" if nets[name] >= 0 else "bad"
            parts.append(
                f'<rect x="{x + 1:.1f}" y="2" width="{gap - 2:.1f}" height="36" fill="var(--{tone})" '
                f'opacity="{0.2 + 0.8 * abs(nets[name]) / most:.2f}"><title>{escape(tip)}</title></rect>'
            )
        parts.append(f'<text x="{x + gap / 2:.1f}" y="55" text-anchor="middle">{name}</text>')
    return _svg(width, height, parts, "net profit by hour of the day")


# ---- figures as text


def _text(value: object, limit: int = 60) -> str:
    return escape(safe_text(value, limit))


def _share(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.1%}"


def _seconds(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f} s"


def _whole(value: float | None) -> str:
    return "n/a" if value is None else f"{value:,.0f}"


def _factor(profit: Mapping[str, Any]) -> str:
    if profit["profit_factor"] is not None:
        return f"{profit['profit_factor']:.2f}"
    return "∞" if profit["wins"] else "n/a"
