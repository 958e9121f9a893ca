"""A review as Altair pictures: figures are floats here, for the eye alone; every one also draws a review of nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import altair as alt
from altair.typing import ChartType

from arbtui.analysis.frames import whole
from arbtui.analysis.review import Group, Point, Review, pretty
from arbtui.domain import DecisionKind, LenderId
from arbtui.monitor.performance import quantile
from arbtui.text import safe_text

#: Okabe and Ito's palette: told apart by colour-blind eyes too.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, INK, FAINT = "#8A8F98", "#24292F", "#E6E8EB"

LENDER_COLOURS = {
    LenderId.AAVE_V2.value: PURPLE,
    LenderId.AAVE_V3.value: BLUE,
    LenderId.BALANCER_V2.value: GREEN,
    LenderId.MAKER.value: ORANGE,
    LenderId.OWN.value: SKY,
}
WIDTH = 720
#: Axis and names included, so that one picture stands as wide as the next.
FULL_WIDTH = 800
MAX_POINTS = 1_500
MAX_PATHS = 12

_FIT = alt.AutoSizeParams(type="fit-x", contains="padding")

_DECISION_WORDS = {
    DecisionKind.APPROVED_BY_HAND: "approved by hand",
    DecisionKind.APPROVED_BY_MANDATE: "approved by a mandate",
    DecisionKind.APPROVED_BY_ALL: "approved by itself",
    DecisionKind.REJECTED: "rejected",
    DecisionKind.EXPIRED_SEEN: "expired, seen",
    DecisionKind.EXPIRED_UNSEEN: "expired, unseen",
    DecisionKind.STALE: "stale when looked at again",
}


def cumulative_net(review: Review) -> ChartType:
    """Net profit added up over time, a dot for each receipt; with a bar for each UTC day where there are several."""
    title = "Net profit, added up"
    if not review.curve:
        return nothing(title, "no execution has settled in this window")
    coin = review.source.native.symbol
    points = [
        {
            "at": _ms(point.at.timestamp()),
            "total": whole(point.total),
            "net": whole(point.net),
            "lender": pretty(point.lender),
            "outcome": _outcome(point.net),
        }
        for point in _thinned(review.curve)
    ]
    start = {"at": points[0]["at"], "total": 0.0, "net": 0.0, "lender": "", "outcome": ""}
    time = alt.X(
        "at:T",
        title="time of the receipt, UTC",
        scale=alt.Scale(type="utc", padding=10),
        axis=_time_axis(review),
    )
    height = alt.Y("total:Q", title=f"net profit, {coin}", axis=alt.Axis(tickCount=6))
    line = _chart([start, *points]).encode(x=time, y=height)
    words = ["earned", "lost", "came to nothing"]
    key: dict[str, Any] = {"title": None, "legend": alt.Legend(orient="top", offset=4)}
    dots = (
        _chart(points)
        .mark_point(
            filled=True, size=70 if len(points) < 200 else 16, opacity=1, stroke="white", strokeWidth=1
        )
        .encode(
            x=time,
            y=height,
            color=alt.Color(
                "outcome:N", scale=alt.Scale(domain=words, range=[GREEN, VERMILION, GREY]), **key
            ),
            shape=alt.Shape(
                "outcome:N", scale=alt.Scale(domain=words, range=["circle", "triangle-down", "square"]), **key
            ),
            tooltip=[
                alt.Tooltip("at:T", title="receipt"),
                alt.Tooltip("net:Q", title=f"net, {coin}", format="+.6f"),
                alt.Tooltip("total:Q", title=f"so far, {coin}", format="+.6f"),
                alt.Tooltip("lender:N"),
            ],
        )
    )
    curve = (
        alt.layer(
            line.mark_area(interpolate="step-after", color=BLUE, opacity=0.12),
            _zero(),
            line.mark_line(interpolate="step-after", color=BLUE, strokeWidth=2),
            dots,
        )
        .properties(width=WIDTH, height=260)
        .properties(
            title=_title(
                title,
                f"{_signed(review.net)} {coin} from {_many(len(review.curve), 'settled execution')}, "
                f"gas of those that failed included",
            )
        )
    )
    if len(review.daily) < 2:
        return _styled(curve)
    days = [
        {"day": day.isoformat(), "net": whole(net), "sign": "earned" if net >= 0 else "lost"}
        for day, net in sorted(review.daily.items())
    ]
    bars = (
        _chart(days)
        .mark_bar(cornerRadius=2, size=min(48, 0.7 * WIDTH / len(days)))
        .encode(
            x=alt.X("day:O", title="day, UTC", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("net:Q", title=f"net profit, {coin}", axis=alt.Axis(tickCount=4)),
            color=alt.Color(
                "sign:N", legend=None, scale=alt.Scale(domain=["earned", "lost"], range=[GREEN, VERMILION])
            ),
        )
        .properties(width=WIDTH, height=120, title=_title("Day by day", ""))
    )
    return _styled(
        alt.vconcat(curve, bars, spacing=24).resolve_scale(color="independent", shape="independent")
    )


def waterfall(review: Review) -> ChartType:
    """From what the trades grossed to what was kept."""
    title = "From gross to net"
    if not review.curve:
        return nothing(title, "no execution has settled in this window")
    flow = review.native_flow
    coin = flow.token.symbol
    after_fee = flow.gross - flow.loan_fee
    steps = [
        ("gross", 0, flow.gross, BLUE, flow.gross),
        ("loan fees", flow.gross, after_fee, ORANGE, -flow.loan_fee),
        ("gas", after_fee, flow.net, VERMILION, -flow.gas),
        ("net", 0, flow.net, GREEN if flow.net >= 0 else VERMILION, flow.net),
    ]
    rows: list[dict[str, Any]] = [
        {
            "step": name,
            "low": whole(min(a, b)),
            "high": whole(max(a, b)),
            "colour": colour,
            "label": f"{_signed(amount) if name != 'gross' else _plain(amount)} {coin}",
        }
        for name, a, b, colour, amount in steps
    ]
    order = [name for name, *_ in steps]
    ends = [row[end] for row in rows for end in ("low", "high")]
    low, high = min(ends), max(ends) + 0.12 * (max(ends) - min(ends))
    x = alt.X("step:N", sort=order, title=None, axis=alt.Axis(labelAngle=0, labelFontSize=13))
    base = _chart(rows)
    bars = base.mark_bar(size=90, cornerRadius=2).encode(
        x=x,
        y=alt.Y(
            "low:Q", title=coin, axis=alt.Axis(tickCount=6), scale=alt.Scale(domain=[low, high], nice=False)
        ),
        y2="high:Q",
        color=alt.Color("colour:N", scale=None),
    )
    text = base.mark_text(dy=-10, fontSize=13, fontWeight="bold", color=INK).encode(
        x=x, y="high:Q", text="label:N"
    )
    return _styled(
        alt.layer(bars, _zero(), text).properties(
            width=FULL_WIDTH,
            autosize=_FIT,
            height=260,
            title=_title(
                title,
                f"all that settled, in {coin}; other tokens at the rate that stands in their ticket",
            ),
        )
    )


def profit_by_lender(review: Review) -> ChartType:
    """Net profit of the executions that borrowed from each lender."""
    return _profit(
        review,
        review.by_lender,
        "Net profit by lender",
        lambda group: LENDER_COLOURS.get(group.name, GREY),
        "what the executions earned that borrowed there, after loan fee and gas",
    )


def profit_by_path(review: Review) -> ChartType:
    """Net profit of each path: the best and worst where there are many."""
    groups = list(review.by_path)
    told = "tokens in order, then the exchanges"
    if len(groups) > MAX_PATHS:
        half = MAX_PATHS // 2
        told = f"the {half} best and the {half} worst of {len(groups)}; {told}"
        groups = groups[:half] + groups[-half:]
    return _profit(
        review, groups, "Net profit by path", lambda group: BLUE if group.net >= 0 else VERMILION, told
    )


def gas_share(review: Review) -> ChartType:
    """What part of each lender's gross was kept, paid as loan fee, and burnt as gas."""
    title = "Where each coin of gross profit went"
    groups = [group for group in review.by_lender if group.gross > 0]
    if not groups:
        return nothing(title, "nothing was grossed in this window")
    names = ["kept", "loan fee", "gas"]
    rows: list[dict[str, Any]] = []
    for group in groups:
        parts = (max(group.net, 0), group.loan_fee_wei, group.performance.gas_spent)
        for order, (name, amount) in enumerate(zip(names, parts, strict=True)):
            rows.append(
                {
                    "lender": group.label,
                    "part": name,
                    "order": order,
                    "amount": whole(amount),
                    "gas": f"gas {group.performance.gas_spent / group.gross:.1%}, "
                    f"loan fee {group.loan_fee_wei / group.gross:.2%}",
                    "one": 1.02,
                }
            )
    y = alt.Y("lender:N", sort=[group.label for group in groups], title=None, axis=_names_axis())
    base = _chart(rows)
    bars = base.mark_bar(size=22).encode(
        x=alt.X(
            "amount:Q",
            stack="normalize",
            title="share of gross profit",
            axis=alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1], grid=False),
            scale=alt.Scale(domain=[0, 1.4]),
        ),
        y=y,
        color=alt.Color(
            "part:N",
            title=None,
            scale=alt.Scale(domain=names, range=[GREEN, ORANGE, VERMILION]),
            legend=alt.Legend(orient="top"),
        ),
        order="order:Q",
    )
    text = base.mark_text(align="left", fontSize=12, color=INK).encode(x=alt.X("one:Q"), y=y, text="gas:N")
    total = review.performance.gas_share
    told = "gas of failed executions included"
    if total is not None:
        told = f"gas took {total:.1%} of what was left after loan fees; {told}"
    return _styled(
        alt.layer(bars, text.transform_filter("datum.order == 0")).properties(
            width=FULL_WIDTH, autosize=_FIT, height=_rows_high(len(groups)), title=_title(title, told)
        )
    )


def funnel(review: Review) -> ChartType:
    """From tickets to profit, and what the step before lost."""
    title = "From ticket to profit"
    counts = review.funnel
    if not counts.tickets:
        return nothing(title, "no ticket was made in this window", _seen(review))
    steps = [
        ("tickets", counts.tickets),
        ("approved", counts.approved),
        ("sent", counts.sent),
        ("mined", counts.mined),
        ("profitable", counts.profitable),
    ]
    rows = [
        {
            "step": name,
            "count": count,
            "label": f"{count:,}"
            + (f", {count / counts.tickets:.0%}" if name != "tickets" else "")
            + (f", {counts.waiting:,} waiting" if name == "approved" and counts.waiting else ""),
        }
        for name, count in steps
    ]
    y = alt.Y("step:N", sort=[name for name, _ in steps], title=None, axis=_names_axis())
    base = _chart(rows)
    x = alt.X(
        "count:Q",
        title="tickets",
        axis=_count_axis(counts.tickets),
        scale=alt.Scale(domain=[0, counts.tickets * 1.25], nice=False),
    )
    bars = base.mark_bar(size=24, color=BLUE, cornerRadiusEnd=2).encode(x=x, y=y)
    text = base.mark_text(align="left", dx=6, fontSize=12, color=INK).encode(x=x, y=y, text="label:N")
    return _styled(
        alt.layer(bars, text).properties(
            width=FULL_WIDTH, autosize=_FIT, height=_rows_high(len(rows)), title=_title(title, _seen(review))
        )
    )


def decisions(review: Review) -> ChartType:
    """How tickets were decided, and what those that were not taken promised."""
    title = "Decisions"
    if not any(review.decisions.values()):
        return nothing(title, "nothing was decided in this window")
    coin = review.source.native.symbol
    rows: list[dict[str, Any]] = []
    for kind, words in _DECISION_WORDS.items():
        count = review.decisions.get(kind.value, 0)
        if count:
            missed = review.missed.get(kind.value)
            promise = ""
            if missed is not None and missed.tickets:
                promise = f", at most {_plain(missed.expected_net_wei)} {coin} not earned"
            rows.append(
                {
                    "kind": words,
                    "count": count,
                    "label": f"{count:,}{promise}",
                    "group": "missed" if kind.value in review.missed else "approved",
                }
            )
    y = alt.Y("kind:N", sort=[row["kind"] for row in rows], title=None, axis=_names_axis())
    x = alt.X(
        "count:Q",
        title="decisions",
        axis=_count_axis(max(row["count"] for row in rows)),
        scale=alt.Scale(domain=[0, max(row["count"] for row in rows) * 1.6], nice=False),
    )
    base = _chart(rows)
    bars = base.mark_bar(size=22, cornerRadiusEnd=2).encode(
        x=x,
        y=y,
        color=alt.Color(
            "group:N", legend=None, scale=alt.Scale(domain=["approved", "missed"], range=[GREEN, ORANGE])
        ),
    )
    text = base.mark_text(align="left", dx=6, fontSize=12, color=INK).encode(x=x, y=y, text="label:N")
    return _styled(
        alt.layer(bars, text).properties(
            width=FULL_WIDTH,
            autosize=_FIT,
            height=_rows_high(len(rows)),
            title=_title(
                title, "what was not earned is an upper bound: what the tickets' own simulations promised"
            ),
        )
    )


def execution_times(review: Review) -> ChartType:
    """How long it took from the decision to the receipt."""
    title = "From decision to receipt"
    values = review.seconds
    if not values:
        return nothing(title, "no execution has a receipt in this window")
    low, high = values[0], values[-1]
    bins = min(30, max(5, round(2 * math.sqrt(len(values)))))
    step = _nice_step((high - low) / bins if high > low else max(high, 1.0) / bins)
    first = int(low // step)
    counts: dict[int, int] = {}
    for value in values:
        counts[int(value // step)] = counts.get(int(value // step), 0) + 1
    rows = [
        {"from": index * step, "to": (index + 1) * step, "count": counts.get(index, 0)}
        for index in range(first, int(high // step) + 1)
    ]
    most = max(counts.values())
    bars = (
        _chart(rows)
        .mark_bar(color=SKY, stroke="white")
        .encode(
            x=alt.X(
                "from:Q",
                title="seconds",
                axis=alt.Axis(tickCount=10, grid=False),
                scale=alt.Scale(zero=False, nice=False, padding=8),
            ),
            x2="to:Q",
            y2=alt.Y2Datum(0),
            y=alt.Y(
                "count:Q",
                title="executions",
                axis=_count_axis(most, grid=True),
                scale=alt.Scale(domain=[0, most * 1.15], nice=False),
            ),
        )
    )
    half, most_of_all = quantile(values, 0.5), quantile(values, 0.95)
    marks = [
        {"at": half, "name": "half", "colour": BLUE},
        {"at": most_of_all, "name": "19 of 20", "colour": VERMILION},
    ]
    rules = (
        _chart(marks)
        .mark_rule(strokeWidth=2, strokeDash=[5, 3])
        .encode(x="at:Q", color=alt.Color("colour:N", scale=None))
    )
    return _styled(
        alt.layer(bars, rules).properties(
            width=FULL_WIDTH,
            autosize=_FIT,
            height=200,
            title=_title(
                title,
                f"half within {half:.2f} s (blue line), 19 of 20 within {most_of_all:.2f} s (red line); "
                f"{_many(len(values), 'receipt')}",
            ),
        )
    )


def nothing(title: str, why: str, subtitle: str = "") -> ChartType:
    """The picture of what is not there."""
    return _styled(
        _chart([{"text": f"nothing yet: {why}"}])
        .mark_text(fontSize=14, color=GREY, fontStyle="italic")
        .encode(text="text:N")
        .properties(width=FULL_WIDTH, autosize=_FIT, height=70, title=_title(title, subtitle))
    )


def _profit(
    review: Review, groups: Sequence[Group], title: str, colour: Callable[[Group], str], told: str
) -> ChartType:
    if not any(group.performance.gas_spent or group.net for group in groups):
        return nothing(title, "no execution has settled in this window")
    coin = review.source.native.symbol
    rows: list[dict[str, Any]] = [
        {
            "name": safe_text(group.label, 90),
            "net": whole(group.net),
            "edge": whole(max(group.net, 0)),
            "colour": colour(group),
            "label": f"{_signed(group.net)} {coin}, {group.performance.successes} of "
            f"{group.performance.delivered:,} succeeded",
        }
        for group in groups
    ]
    headroom = 0.6 if max(len(row["name"]) for row in rows) < 30 else 1.2
    high = max(0.0, *(row["net"] for row in rows))
    low = min(0.0, *(row["net"] for row in rows))
    y = alt.Y("name:N", sort=[row["name"] for row in rows], title=None, axis=_names_axis())
    x = alt.X(
        "net:Q",
        title=f"net profit, {coin}",
        axis=alt.Axis(tickCount=6, grid=False),
        scale=alt.Scale(domain=[low, high + headroom * (high - low)], nice=False),
    )
    base = _chart(rows)
    bars = base.mark_bar(size=20, cornerRadiusEnd=2).encode(x=x, y=y, color=alt.Color("colour:N", scale=None))
    text = base.mark_text(align="left", dx=6, fontSize=12, color=INK).encode(x="edge:Q", y=y, text="label:N")
    return _styled(
        alt.layer(bars, text).properties(
            width=FULL_WIDTH,
            autosize=_FIT,
            height=_rows_high(len(rows)),
            title=_title(title, told),
        )
    )


def _seen(review: Review) -> str:
    counts = review.funnel
    if counts.seen is None or counts.dropped is None:
        return "of the chosen lenders"
    told = f"{_many(counts.seen, 'opportunity')} seen, {counts.dropped:,} dropped by a check"
    if review.dropped:
        worst = sorted(review.dropped.items(), key=lambda item: (-item[1], item[0]))[:3]
        told += ": " + ", ".join(f"{safe_text(name)} {count:,}" for name, count in worst)
        told += ", …" if len(review.dropped) > 3 else ""
    return told


def _chart(rows: Iterable[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=list(rows)))


def _zero() -> alt.Chart:
    rule: alt.Chart = _chart([{"zero": 0}]).mark_rule(color=GREY, strokeWidth=1).encode(y="zero:Q")
    return rule


def _title(text: str, subtitle: str) -> alt.TitleParams:
    if subtitle:
        return alt.TitleParams(text, subtitle=[subtitle])
    return alt.TitleParams(text)


def _time_axis(review: Review) -> alt.Axis:
    span = (review.curve[-1].at - review.curve[0].at).total_seconds()
    steps = ((600, "%H:%M:%S"), (86_400, "%H:%M"), (10 * 86_400, "%d %b %H:%M"))
    form = next((form for limit, form in steps if span < limit), "%d %b %Y")
    return alt.Axis(tickCount=5, labelOverlap=True, format=form)


def _count_axis(most: int, grid: bool = False) -> alt.Axis:
    step = max(1, int(_nice_step(most / 5)))
    return alt.Axis(values=list(range(0, most + 1, step)), format=",d", grid=grid)


def _names_axis() -> alt.Axis:
    return alt.Axis(labelLimit=420, labelFontSize=12, ticks=False, domain=False, labelPadding=8)


def _rows_high(rows: int) -> int:
    return 36 * rows + 8


def _styled(chart: Any) -> ChartType:
    styled: ChartType = (
        chart.configure(
            font="DejaVu Sans, Liberation Sans, Arial, sans-serif", background="white", padding=12
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=11,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=10,
            gridColor=FAINT,
            domainColor=GREY,
            tickColor=GREY,
        )
        .configure_axisY(domain=False, ticks=False)
        .configure_legend(labelFontSize=12, symbolSize=90, labelColor=INK)
        .configure_title(
            anchor="start",
            fontSize=16,
            color=INK,
            subtitleColor="#57606A",
            subtitleFontSize=12,
            subtitlePadding=4,
            offset=12,
        )
    )
    return styled


def _outcome(net: int) -> str:
    if net > 0:
        return "earned"
    return "lost" if net < 0 else "came to nothing"


def _thinned(curve: Sequence[Point]) -> list[Point]:
    """At most about MAX_POINTS of the curve's points: of each stretch its lowest, its highest and its last."""
    if len(curve) <= MAX_POINTS:
        return list(curve)
    size = -(-len(curve) * 3 // MAX_POINTS)
    kept: list[Point] = []
    for start in range(0, len(curve), size):
        part = curve[start : start + size]
        chosen = {part.index(min(part, key=lambda p: p.total)), part.index(max(part, key=lambda p: p.total))}
        kept += [part[index] for index in sorted(chosen | {len(part) - 1})]
    return kept


def _nice_step(raw: float) -> float:
    """1, 2 or 5 times a power of ten, the first that is not below `raw`."""
    power = 10.0**-6
    while True:
        for factor in (1, 2, 5):
            if factor * power >= raw:
                return factor * power
        power *= 10


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _plain(wei: int) -> str:
    return f"{whole(wei):,.4f}"


def _signed(wei: int) -> str:
    return f"{whole(wei):+,.4f}"


def _many(count: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
