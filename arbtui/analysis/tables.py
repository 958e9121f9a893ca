"""A review as HTML tables: exact figures, every foreign string escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from arbtui.analysis.review import Group, Review, pretty
from arbtui.text import safe_text
from arbtui.units import format_amount

_CELL = "padding:3px 14px 3px 0;border:none;text-align:{};vertical-align:top;white-space:nowrap"
#: So many of what does not fit are named.
_NAMED = 10
_NUMBERS = ";font-variant-numeric:tabular-nums"


def data_block(review: Review) -> str:
    """What the figures are of; to be read before them."""
    source = review.source
    if source.problem:
        return (
            f'<p><b style="color:#D55E00">No {escape(source.family)} store.</b> '
            f"{escape(safe_text(source.problem, 400))}</p>"
        )
    until = review.until or f"{review.read_at} (when it was read)"
    if review.unreconciled or review.not_yet_reconciled:
        reconciled = (
            f"{review.unreconciled} differ, were altered or are open,"
            f" {review.not_yet_reconciled} not compared yet"
        )
    elif not review.rows.get("settlements"):
        reconciled = "nothing has settled yet"
    else:
        reconciled = "all settlements agree with the balances, to the last unit"
    stages = ", ".join(source.stages) or "no run"
    watermark = " <b>paper: nothing was sent, nothing here was earned</b>" if source.family == "paper" else ""
    rows = [
        ("stage", f"{escape(stages)} (the {escape(source.family)} file){watermark}"),
        ("chain", escape(", ".join(source.chains)) or "none"),
        ("store", f"<code>{escape(safe_text(source.path, 400))}</code>"),
        ("window, UTC", f"{_time(review.since) if review.since else 'from the start'} to {_time(until)}"),
        ("lenders", escape(", ".join(map(pretty, review.lenders))) or "all"),
        ("rows", escape(", ".join(f"{count:,} {name}" for name, count in review.rows.items()))),
        ("runs of the engine", f"{source.runs:,}"),
        ("unreconciled", f"<b>{review.unreconciled}</b>, {reconciled}"),
    ]
    rows += [("", _named(entry)) for entry in review.unreconciled_named[:_NAMED]]
    if review.unreconciled > _NAMED:
        rows.append(("", f"and {review.unreconciled - _NAMED:,} more"))
    return _table((), rows, right=())


def _named(entry: Mapping[str, Any]) -> str:
    """One thing that does not fit, as the report names it."""
    number = f"#{entry['reconciliation']}" if entry["reconciliation"] else ""
    which = " ".join(str(part) for part in (entry["what"], entry.get("execution"), number) if part)
    block = entry.get("block") or f"{entry.get('from_block')}-{entry.get('to_block')}"
    return escape(safe_text(f"{which}, block {block}: {entry['difference']}", 400))


def headline(review: Review) -> str:
    """The figures of the report, and how much of them is luck."""
    result = review.performance
    coin = review.source.native.symbol
    interval = review.success_interval
    success = "n/a"
    if result.success_rate is not None and interval is not None:
        success = (
            f"{result.success_rate:.1%} ({result.successes} of {result.delivered} sent; "
            f"true rate likely {interval[0]:.0%} to {interval[1]:.0%})"
        )
    factor = review.profit_factor
    if factor is None:
        factored = "n/a"
    elif math.isinf(factor):
        factored = "∞ (0 losses)"
    else:
        factored = f"{factor:.2f}"
    average = "n/a" if result.avg_profit is None else _coin(result.avg_profit.__floor__(), coin)
    times = "n/a"
    if result.p50_seconds is not None and result.p95_seconds is not None:
        times = f"half within {result.p50_seconds:.2f} s, 19 of 20 within {result.p95_seconds:.2f} s"
    share = "n/a" if result.gas_share is None else f"{result.gas_share:.2%} of net + gas"
    rows = [
        ("net profit", f"<b>{_coin(review.net, coin)}</b>"),
        ("the same, exact", f"{review.net:,} wei"),
        ("without the best one", _coin(review.net_without_best, coin)),
        ("executions", f"{result.executions:,}: {_counts(review.by_status)}"),
        *(
            [
                (
                    "nonce fillers",
                    f"{result.fillers:,}, {_coin(int(result.filler_net), coin)}; in no other count",
                )
            ]
            if result.fillers
            else []
        ),
        ("succeeded", success),
        ("profit of a success, mean", average),
        ("won ÷ lost", factored),
        ("deepest fall of the sum", _coin(-review.drawdown, coin)),
        ("gas spent", f"{_coin(result.gas_spent, coin)}, {share}"),
        ("decision to receipt", times),
        ("missed, at most", _missed(review, coin)),
    ]
    return _table((), rows, right=())


def tokens(review: Review) -> str:
    """For each token what was grossed, paid and kept: exact, and reconciled with the settlements' deltas."""
    if not review.by_token:
        return "<p><i>nothing yet: no execution has settled in this window</i></p>"
    rows = [
        (
            escape(flow.token.symbol),
            *(
                format_amount(value, flow.token.decimals) if value else "0"
                for value in (flow.gross, -flow.loan_fee, -flow.gas, flow.net)
            ),
        )
        for flow in review.by_token
    ]
    return _table(("token", "gross", "loan fees", "gas", "net"), rows, right=(1, 2, 3, 4))


def groups(review: Review, found: Sequence[Group], what: str) -> str:
    """A line for each lender or path."""
    if not found:
        return "<p><i>nothing yet: no execution in this window</i></p>"
    coin = review.source.native.symbol
    rows = [
        (
            escape(safe_text(group.label, 90)),
            f"{group.performance.executions:,}",
            "n/a" if group.performance.success_rate is None else f"{group.performance.success_rate:.0%}",
            *(
                format_amount(wei, 18, 9) if wei else "0"
                for wei in (group.net, group.loan_fee_wei, group.performance.gas_spent)
            ),
        )
        for group in found
    ]
    heads = (what, "executions", "succeeded", f"net, {coin}", f"loan fees, {coin}", f"gas, {coin}")
    return _table(tuple(map(escape, heads)), rows, right=(1, 2, 3, 4, 5))


def _missed(review: Review, coin: str) -> str:
    missed = review.missed_total
    if not missed.tickets:
        return "n/a"
    return (
        f"{_coin(missed.expected_net_wei, coin)} on {missed.tickets:,} tickets, "
        f"{missed.moved_by_others:,} of them moved by others (an upper bound)"
    )


def _coin(wei: int, coin: str) -> str:
    return f"{format_amount(wei, 18, 9) if wei else 0} {escape(coin)}"


def _counts(counts: object) -> str:
    pairs = counts.items() if isinstance(counts, dict) else ()
    return escape(", ".join(f"{count} {name}" for name, count in pairs)) or "none"


def _time(text: str) -> str:
    return escape(safe_text(text, 80).replace("T", " ").replace("+00:00", ""))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int]) -> str:
    """Cells are HTML already."""

    def cell(tag: str, index: int, content: str) -> str:
        side = "right" if index in right else "left"
        weight = ";color:#57606A" if not heads and index == 0 else ""
        return f'<{tag} style="{_CELL.format(side)}{_NUMBERS}{weight}">{content}</{tag}>'

    top = "".join(cell("th", index, head) for index, head in enumerate(heads))
    body = "".join(
        f"<tr>{''.join(cell('td', index, content) for index, content in enumerate(row))}</tr>" for row in rows
    )
    head = f"<thead><tr>{top}</tr></thead>" if heads else ""
    return f'<table style="border-collapse:collapse;font-size:13px">{head}<tbody>{body}</tbody></table>'
