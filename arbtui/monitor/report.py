"""The report, from the store's rows alone: exact sums in Python integers, amounts as decimal strings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from arbtui.domain import ClosedBy, DecisionKind, Token
from arbtui.domain.settlement import NATIVE
from arbtui.errors import UsageError
from arbtui.monitor.performance import (
    QUANTILES,
    STAGES,
    Amount,
    ExecutionFacts,
    Performance,
    Profit,
    Promise,
    curve,
    fold,
)
from arbtui.store.driver import utc_now
from arbtui.store.queries import Row, StoreReader

ETH = Token(NATIVE, "ETH", 18)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LANDED = ("mined", "reverted", "cancelled")
#: Of those who took opportunities the greatest are named.
_SENDERS = 10
HISTOGRAM_BINS = 20
SERIES_BUCKETS = 48
#: Seconds a bucket of the series may span.
_STEPS = (1, 5, 15, 60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800, 2_592_000)


def parse_since(text: str, now: str | None = None) -> str:
    """ "90s", "15m", "2h", "7d", "1w" before now, or an ISO time (UTC unless it says so), as the store writes times.

    Raises UsageError for anything else.
    """
    duration = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([smhdw])\s*", text)
    try:
        if duration:
            moment = datetime.fromisoformat(now or utc_now()) - timedelta(
                **{_UNITS[duration[2]]: float(duration[1])}
            )
        else:
            moment = datetime.fromisoformat(text.strip())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        raise UsageError(
            f"since: {text[:40]!r} is neither a duration such as 90s, 15m, 2h, 7d nor an ISO time"
        ) from None


@dataclass(frozen=True, slots=True)
class Window:
    """`since` up to, without, `until`; None is open. Times as the store writes them."""

    since: str | None = None
    until: str | None = None

    def query(self, reader: StoreReader, sql: str, column: str) -> list[Row]:
        """Rows of `sql`, in which WINDOW stands for the condition on a time column."""
        condition = f"(?1 IS NULL OR {column} >= ?1) AND (?2 IS NULL OR {column} < ?2)"
        return reader.query(sql.replace("WINDOW", condition), (self.since, self.until))


def build_report(
    reader: StoreReader,
    since: str | None = None,
    numeraire: Token = ETH,
    *,
    now: str | None = None,
    until: str | None = None,
) -> dict[str, Any]:
    """The object of `arbtui report --json`.

    An execution is in the window by its decision, an opportunity by when it was seen. `since` and `until` are as
    `parse_since` gives them. `numeraire` names the native coin. Raises UsageError for a window that ends before it
    begins.
    """
    if since is not None and until is not None and until < since:
        raise UsageError(f"the window ends at {until}, before it begins at {since}")
    with reader.snapshot():
        return _report(reader, Window(since, until), numeraire, now or utc_now())


def _report(reader: StoreReader, window: Window, numeraire: Token, now: str) -> dict[str, Any]:
    since, until = window.since, window.until
    rows = execution_rows(reader, since, until)
    settlements = [
        row for row in reader.settlements(since) if until is None or str(row["decided_at"]) < until
    ]
    facts = [(row, facts_of(row)) for row in rows]
    total = fold(fact for _, fact in facts)
    decisions = _decisions(reader, window)
    unsound = reader.unsound(settlements)
    runs = reader.runs()
    return {
        "window": {"since": since, "until": until or now},
        "stage": runs[0]["stage"] if runs else None,
        "runs": len(reader.runs_within(since, until)),
        "numeraire": {"symbol": numeraire.symbol, "decimals": numeraire.decimals},
        "by_token": _by_token(settlements, numeraire),
        "executions": total.executions,
        "fillers": total.fillers,
        "filler_net_wei": _down(total.filler_net),
        "delivered": total.delivered,
        "successes": total.successes,
        "success_rate": total.success_rate,
        "success_interval": list(total.success_interval) if total.success_interval else None,
        "avg_execution_time_s": total.avg_seconds,
        "p50_execution_time_s": total.p50_seconds,
        "p95_execution_time_s": total.p95_seconds,
        "times": _times(total),
        "avg_profit": _down(total.avg_profit),
        "net_profit": _down(total.net_profit),
        "profit": _profit(total.profit),
        "histogram": _histogram([fact.net for _, fact in facts if fact.net is not None and not fact.filler]),
        "series": _series([fact for _, fact in facts]),
        "expected": {
            "settled": _promise(total.promise),
            "successes": _promise(total.promise_of_successes),
        },
        "gas_spent_wei": str(total.gas_spent),
        "gas_efficiency": total.gas_efficiency,
        "gas_share": total.gas_share,
        "gas": {
            "used": total.gas.used,
            "paid_wei": str(total.gas.paid),
            "wasted": total.gas.wasted_used,
            "wasted_wei": str(total.gas.wasted_paid),
        },
        "error_counts": _error_counts(reader, window, rows),
        "by_status": _count(str(row["status"]) for row in rows if not row["filler"]),
        "by_lender": _grouped(facts, lambda row: str(row["lender"])),
        "by_gas_strategy": _grouped(facts, lambda row: str(row["strategy"])),
        "by_path": _by_path(reader, facts),
        "by_base_token": _grouped(facts, _base_token_key(rows)),
        "by_hour": _grouped(facts, lambda row: str(row["decided_at"])[11:13]),
        "unreconciled": len(unsound),
        "unreconciled_named": unsound,
        "not_yet_reconciled": sum(s["reconciled"] is None and s["sealed"] for s in settlements),
        "reconciliation": _reconciliation(reader),
        "missed": _missed(reader, window, decisions),
        "decisions": decisions,
        "decision_costs": _decision_costs(reader, window, decisions),
        "dropped": _dropped(reader, window),
        "funnel": _funnel(reader, window, rows),
        "incidents": _incidents(reader, window),
        "recovery": _recovery(reader, window),
    }


def ledger_rows(
    reader: StoreReader, since: str | None = None, numeraire: Token = ETH, *, until: str | None = None
) -> list[dict[str, Any]]:
    """A line per settlement, oldest first, all with the same keys: for `report --csv`.

    A `delta_<token>` column per token is its exact change over executor, wallet and treasury, in base units;
    the rate says how many base units of the ticket's token one wei of the native coin was worth, and where.
    """
    with reader.snapshot():
        settlements = [
            row for row in reader.settlements(since) if until is None or str(row["decided_at"]) < until
        ]
        rates = {
            str(row["id"]): row
            for row in reader.query(
                "SELECT id, rate_numerator, rate_denominator, rate_pools, rate_block FROM ticket"
            )
        }
    keys = _token_keys(settlements, numeraire)
    lines: list[dict[str, Any]] = []
    for settled in settlements:
        rate = rates.get(str(settled["ticket_id"]))
        line: dict[str, Any] = {
            "time": settled["mined_at"],
            "tx_hash": settled["tx_hash"],
            "block": settled["block"],
            "execution": settled["execution_id"],
            "status": settled["status"],
            "lender": settled["lender"],
            "gas_used": settled["gas_used"],
            "effective_gas_price": settled["effective_gas_price"],
            "gas_cost_wei": settled["gas_cost"],
            "l1_fee_wei": settled["l1_fee"],
            "loan_fee": settled["loan_fee"],
            "net_wei": settled["net_wei"],
            "rate": f"{rate['rate_numerator']}/{rate['rate_denominator']}" if rate else "",
            "rate_source": (
                f"block {rate['rate_block']}: {' '.join(json.loads(rate['rate_pools'])) or 'same coin'}"
                if rate
                else ""
            ),
            "reconciled": bool(settled["reconciled"] and settled["sealed"]),
        }
        sums = dict.fromkeys(keys, 0)
        for delta in settled["deltas"]:
            sums[delta["token"]["address"]] += int(delta["amount"])
        line.update({f"delta_{keys[address]}": str(amount) for address, amount in sums.items()})
        lines.append(line)
    return lines


def execution_rows(reader: StoreReader, since: str | None, until: str | None = None) -> list[Row]:
    """Rows of v_execution in the window by their decision, oldest first, with whether a node had them."""
    window = Window(since, until)
    return window.query(
        reader,
        "SELECT v.*, EXISTS (SELECT 1 FROM attempt AS a WHERE a.execution_id = v.id"
        " AND a.delivery = 'delivered') AS delivered"
        " FROM v_execution AS v WHERE WINDOW ORDER BY v.decided_at, v.id",
        "v.decided_at",
    )


def facts_of(row: Row) -> ExecutionFacts:
    """What the fold needs of a row of `execution_rows`."""
    landed = row["status"] in _LANDED
    seconds = max(0.0, float(row["seconds"])) if landed and row["seconds"] is not None else None
    stages = {
        "ticket_to_decision": _between(row["ticket_at"], row["decided_at"]),
        "decision_to_sent": _between(row["decided_at"], row["sent_at"]),
        "sent_to_mined": _between(row["sent_at"], row["mined_at"]) if landed else None,
        "mined_to_final": _between(row["mined_at"], row["final_at"]) if landed else None,
        "decision_to_mined": seconds,
        "found_to_ticket": None if row["found_s"] is None else float(row["found_s"]),
    }
    return ExecutionFacts(
        # What a node answered ambiguously, or never, and was mined all the same, was delivered.
        delivered=bool(row["delivered"]) or landed,
        success=row["status"] == "mined",
        seconds=seconds,
        net=_int(row["net_wei"]),
        gas_used=_int(row["gas_used"]),
        gas_cost=None if row["gas_cost"] is None else int(row["gas_cost"]) + int(row["l1_fee"]),
        error_class=str(row["error_class"]),
        at=str(row["mined_at"] or row["decided_at"]),
        key=str(row["id"]),
        expected=_int(row["expected_net_wei"]),
        stages={name: value for name, value in stages.items() if value is not None},
        filler=bool(row["filler"]),
    )


def _between(earlier: str | None, later: str | None) -> float | None:
    """Seconds, 0 where a clock was set back."""
    if earlier is None or later is None:
        return None
    passed = datetime.fromisoformat(later) - datetime.fromisoformat(earlier)
    return max(0.0, passed.total_seconds())


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _down(value: Amount | None) -> str | None:
    """Towards minus infinity: never more than was earned."""
    return None if value is None else str(value // 1)


def _count(words: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items()))


def _token_keys(settlements: Iterable[Row], numeraire: Token) -> dict[str, str]:
    """A key for each token's address: its symbol, and where several tokens share one, the address with it.

    The native coin's is always the numeraire's symbol alone.
    """
    symbols = {
        delta["token"]["address"]: str(delta["token"]["symbol"])
        for settled in settlements
        for delta in settled["deltas"]
        if delta["token"]["address"] != NATIVE
    }
    uses = _count([*symbols.values(), numeraire.symbol])
    keys = {
        address: symbol if uses[symbol] == 1 else f"{symbol}@{address}"
        for address, symbol in sorted(symbols.items(), key=lambda item: (item[1], item[0]))
    }
    return {NATIVE: numeraire.symbol, **keys}


def _by_token(settlements: list[Row], numeraire: Token) -> dict[str, Any]:
    keys = _token_keys(settlements, numeraire)
    found: dict[str, Any] = {}
    sums: dict[str, int] = {}
    for settled in settlements:
        for delta in settled["deltas"]:
            token = delta["token"]
            key = keys[token["address"]]
            sums[key] = sums.get(key, 0) + int(delta["amount"])
            found[key] = {"address": token["address"], "decimals": token["decimals"]}
    return {key: {**found[key], "delta": str(sums[key])} for key in sorted(found)}


def _figures(result: Performance) -> dict[str, Any]:
    return {
        "executions": result.executions,
        "fillers": result.fillers,
        "delivered": result.delivered,
        "successes": result.successes,
        "success_rate": result.success_rate,
        "success_interval": list(result.success_interval) if result.success_interval else None,
        "avg_execution_time_s": result.avg_seconds,
        "avg_profit": _down(result.avg_profit),
        "net_profit": _down(result.net_profit),
        "gas_spent_wei": str(result.gas_spent),
        "gas_wasted_wei": str(result.gas.wasted_paid),
        "gas_efficiency": result.gas_efficiency,
        "gas_share": result.gas_share,
        "realised_share": result.promise.ratio,
    }


def _grouped(
    facts: Iterable[tuple[Row, ExecutionFacts]], key: Callable[[Row], str]
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[ExecutionFacts]] = {}
    for row, fact in facts:
        groups.setdefault(key(row), []).append(fact)
    return {name: _figures(fold(groups[name])) for name in sorted(groups)}


def _by_path(reader: StoreReader, facts: list[tuple[Row, ExecutionFacts]]) -> dict[str, dict[str, Any]]:
    groups = _grouped(facts, lambda row: str(row["path_id"] or "unknown"))
    tickets = {str(row["path_id"] or "unknown"): row["ticket_id"] for row, _ in facts}
    for path_id, figures in groups.items():
        rows = reader.query(
            "SELECT o.path FROM ticket AS t JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id"
            " WHERE t.id = ?",
            (tickets[path_id],),
        )
        hops = json.loads(rows[0]["path"]) if rows else []
        figures["pools"] = [hop["pool"] for hop in hops]
        figures["dexes"] = [hop["dex"] for hop in hops]
    return groups


def _times(total: Performance) -> dict[str, Any]:
    """Seconds of each stage; None where no execution has it."""
    return {
        name: {"count": s.count, "avg_s": s.mean, "p50_s": s.p50, "p95_s": s.p95, "max_s": s.most}
        if (s := total.stages.get(name))
        else None
        for name in STAGES
    }


def _profit(profit: Profit) -> dict[str, Any]:
    factor = profit.factor
    return {
        "settled": profit.settled,
        "wins": profit.wins,
        "losses": profit.losses,
        "even": profit.even,
        "won_wei": _down(profit.won),
        "lost_wei": _down(profit.lost),
        "best_wei": _down(profit.best),
        "worst_wei": _down(profit.worst),
        **{f"{name}_wei": _down(profit.quantiles.get(name)) for name in QUANTILES},
        "expectancy_wei": _down(profit.expectancy),
        "mean_win_wei": _down(profit.mean_win),
        "mean_loss_wei": _down(profit.mean_loss),
        # JSON knows no infinity: nothing lost is null, and `losses` says which null it is.
        "profit_factor": None if factor is None or math.isinf(factor) else factor,
        "max_drawdown_wei": _down(profit.drawdown),
        "longest_losing_run": profit.losing_run,
        "without_best_wei": _down(profit.without_best),
    }


def _promise(promise: Promise) -> dict[str, Any]:
    return {
        "executions": promise.executions,
        "expected_wei": str(promise.expected),
        "realised_wei": _down(promise.realised),
        "difference_wei": _down(promise.realised - promise.expected),
        "ratio": promise.ratio,
    }


def _histogram(nets: Sequence[Amount]) -> list[dict[str, Any]]:
    """About HISTOGRAM_BINS bins of equal, whole width from the worst to the best net; `to` is not in its bin.

    Bins begin at multiples of their width, so that none holds both wins and losses.
    """
    if not nets:
        return []
    low, high = math.floor(min(nets)), math.floor(max(nets))
    width = max(1, -(-(high - low + 1) // HISTOGRAM_BINS))
    first = low // width
    counts = [0] * (high // width - first + 1)
    for net in nets:
        counts[math.floor(net) // width - first] += 1
    return [
        {"from_wei": str((first + i) * width), "to_wei": str((first + i + 1) * width), "count": count}
        for i, count in enumerate(counts)
    ]


def _series(facts: Sequence[ExecutionFacts]) -> list[dict[str, Any]]:
    """Settled executions by time of receipt, in at most about SERIES_BUCKETS even steps, quiet ones included."""
    points = curve(facts)
    if not points:
        return []
    first, last = (datetime.fromisoformat(points[i][0].at).timestamp() for i in (0, -1))
    step = next((step for step in _STEPS if (last - first) / step <= SERIES_BUCKETS), _STEPS[-1])
    members: dict[int, list[ExecutionFacts]] = {}
    for fact, _, _ in points:
        members.setdefault(int(datetime.fromisoformat(fact.at).timestamp() // step), []).append(fact)
    total: Amount = 0
    out = []
    for index in range(int(first // step), int(last // step) + 1):
        part = fold(members.get(index, ()))
        total += part.net_profit
        out.append(
            {
                "at": datetime.fromtimestamp(index * step, UTC).isoformat(timespec="seconds"),
                "step_s": step,
                "executions": part.executions,
                "net_wei": _down(part.net_profit),
                "gas_wei": str(part.gas_spent),
                "total_wei": _down(total),
            }
        )
    return out


def _base_token_key(rows: Iterable[Row]) -> Callable[[Row], str]:
    """The symbol of an execution's token; with the address where several tokens share it."""
    addresses: dict[str, set[str]] = {}
    for row in rows:
        addresses.setdefault(str(row["token_symbol"]), set()).add(str(row["token"]).lower())
    return lambda row: (
        str(row["token_symbol"])
        if len(addresses[str(row["token_symbol"])]) == 1
        else f"{row['token_symbol']}@{row['token']}"
    )


def _reconciliation(reader: StoreReader) -> dict[str, Any]:
    """How far the balances are followed, over the whole store."""
    row = reader.query(
        "SELECT min(CASE WHEN kind = 'blocks' THEN from_block END) AS first,"
        " max(CASE WHEN kind = 'blocks' THEN to_block END) AS last,"
        " coalesce(sum(CASE WHEN kind = 'blocks' THEN settlements END), 0) AS settlements,"
        " sum(ok = 0 AND acknowledged_at IS NULL) AS open, sum(acknowledged_at IS NOT NULL) AS acknowledged"
        " FROM reconciliation"
    )[0]
    return {
        "from_block": row["first"],
        "through_block": row["last"],
        "settlements": int(row["settlements"]),
        "open": int(row["open"] or 0),
        "acknowledged": int(row["acknowledged"] or 0),
        "sending_stopped": bool(row["open"]),
    }


def _error_counts(reader: StoreReader, window: Window, executions: list[Row]) -> dict[str, int]:
    """Incidents by class, and executions that ended in a class for which no incident was written."""
    incidents = window.query(
        reader, "SELECT error_class, execution_id FROM incident WHERE error_class <> '' AND WINDOW", "at"
    )
    told = {(row["execution_id"], row["error_class"]) for row in incidents}
    silent = [
        str(row["error_class"])
        for row in executions
        if row["error_class"] and (row["id"], row["error_class"]) not in told
    ]
    return _count([*(str(row["error_class"]) for row in incidents), *silent])


def _decisions(reader: StoreReader, window: Window) -> dict[str, int]:
    counts = dict.fromkeys((kind.value for kind in DecisionKind), 0)
    for row in window.query(
        reader, "SELECT kind, count(*) AS n FROM decision WHERE WINDOW GROUP BY kind", "at"
    ):
        counts[str(row["kind"])] = int(row["n"])
    return counts


def _decision_costs(
    reader: StoreReader, window: Window, decisions: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Tickets by their last word: what their simulations promised, what came of those that were sent.

    `saved_wei`, for stale ones whose last simulation failed: the gas that the revert would have burnt, at the base fee
    of the ticket's block; an estimate.
    """
    found = {
        kind: {"tickets": 0, "expected": 0, "settled": 0, "realised": 0, "saved": 0} for kind in decisions
    }
    for row in window.query(
        reader,
        "SELECT v.kind, v.expected_net_wei, v.net_wei, t.expected_gas,"
        " (SELECT b.base_fee_per_gas FROM block AS b WHERE b.run = t.run AND b.number = t.block LIMIT 1) AS base_fee,"
        " EXISTS (SELECT 1 FROM check_result AS c WHERE c.subject_id = v.ticket_id AND c.phase = 'send'"
        " AND c.name = 'simulation' AND c.passed = 0) AS would_revert"
        " FROM v_decision AS v JOIN ticket AS t ON t.id = v.ticket_id WHERE WINDOW",
        "v.at",
    ):
        entry = found[str(row["kind"])]
        entry["tickets"] += 1
        entry["expected"] += int(row["expected_net_wei"])
        if row["net_wei"] is not None:
            entry["settled"] += 1
            entry["realised"] += int(row["net_wei"])
        if row["would_revert"] and row["kind"] == DecisionKind.STALE and row["base_fee"] is not None:
            entry["saved"] += int(row["expected_gas"]) * int(row["base_fee"])
    return {
        kind: {
            "tickets": entry["tickets"],
            "expected_net_wei": str(entry["expected"]),
            "settled": entry["settled"],
            "realised_net_wei": str(entry["realised"]),
            "saved_wei": str(entry["saved"]),
        }
        for kind, entry in found.items()
    }


def _missed(reader: StoreReader, window: Window, decisions: dict[str, int]) -> dict[str, Any]:
    """Tickets whose last word was not an approval, and what they would have earned by their own simulation."""
    by_decision: dict[str, dict[str, Any]] = {
        kind: {"tickets": 0, "expected_net_wei": 0} for kind in decisions if not kind.startswith("approved")
    }
    moved = 0
    for row in window.query(
        reader,
        "SELECT kind, moved_by_tx, expected_net_wei FROM v_decision"
        " WHERE kind NOT LIKE 'approved%' AND WINDOW",
        "at",
    ):
        entry = by_decision[str(row["kind"])]
        entry["tickets"] += 1
        entry["expected_net_wei"] += int(row["expected_net_wei"])
        moved += row["moved_by_tx"] is not None
    return {
        "tickets": sum(entry["tickets"] for entry in by_decision.values()),
        "expected_net_wei": str(sum(entry["expected_net_wei"] for entry in by_decision.values())),
        "moved_by_others": moved,
        "closed": _closed(reader, window),
        "by_decision": {
            kind: {"tickets": entry["tickets"], "expected_net_wei": str(entry["expected_net_wei"])}
            for kind, entry in by_decision.items()
        },
    }


def _closed(reader: StoreReader, window: Window) -> dict[str, Any]:
    """Opportunities that would have left something and ended, by who ended them; what each sender took."""
    by = {who.value: {"opportunities": 0, "net_wei": 0} for who in ClosedBy}
    senders: dict[str, dict[str, int]] = {}

    def add(entry: dict[str, int], count: int, net_wei: int) -> None:
        entry["opportunities"] += count
        entry["net_wei"] += net_wei

    for row in window.query(reader, "SELECT closed_by, net_wei, sender FROM v_missed WHERE WINDOW", "at"):
        add(by[str(row["closed_by"])], 1, int(row["net_wei"]))
        if row["sender"] and row["closed_by"] == ClosedBy.FOREIGN:
            sender = senders.setdefault(str(row["sender"]), {"opportunities": 0, "net_wei": 0})
            add(sender, 1, int(row["net_wei"]))
    for row in rolled_up(reader, window, "closed", "sender"):
        if row["kind"] == "closed":
            entry = by[str(row["name"])]
        else:
            entry = senders.setdefault(str(row["name"]), {"opportunities": 0, "net_wei": 0})
        add(entry, int(row["count"]), int(row["net_wei"]))
    best = sorted(senders.items(), key=lambda item: (-item[1]["net_wei"], item[0]))[:_SENDERS]
    return {
        "by": {who: _texts(entry) for who, entry in by.items()},
        "senders": {sender: _texts(entry) for sender, entry in best},
    }


def _texts(entry: dict[str, int]) -> dict[str, Any]:
    return {"opportunities": entry["opportunities"], "net_wei": str(entry["net_wei"])}


def _dropped(reader: StoreReader, window: Window) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in [
        *window.query(
            reader,
            "SELECT reason AS name, count(*) AS count FROM opportunity"
            " WHERE outcome = 'dropped' AND WINDOW GROUP BY reason",
            "at",
        ),
        *rolled_up(reader, window, "dropped"),
    ]:
        counts[str(row["name"])] = counts.get(str(row["name"]), 0) + int(row["count"])
    return dict(sorted(counts.items()))


def rolled_up(reader: StoreReader, window: Window, *kinds: str) -> list[Row]:
    """What pruning left of whole days in the window; a day that a window cuts is not in it."""
    marks = ", ".join("?" * len(kinds))
    rows = reader.query(
        f"SELECT kind, name, count, net_wei, day FROM rollup WHERE kind IN ({marks})",  # noqa: S608 - marks alone
        kinds,
    )
    return [
        row
        for row in rows
        if (window.since is None or window.since <= f"{row['day']}T00:00:00.000000+00:00")
        and (window.until is None or f"{row['day']}T23:59:59.999999+00:00" < window.until)
    ]


def _funnel(reader: StoreReader, window: Window, executions: Sequence[Row]) -> dict[str, int]:
    """How many came how far. An opportunity counts once for each block on which it was recorded."""
    seen = window.query(reader, "SELECT count(*) AS n FROM opportunity WHERE WINDOW", "at")[0]["n"]
    tickets = window.query(
        reader,
        "SELECT count(*) AS n, coalesce(sum(EXISTS (SELECT 1 FROM decision AS d WHERE d.ticket_id = t.id"
        " AND d.kind LIKE 'approved%')), 0) AS approved"
        " FROM ticket AS t WHERE WINDOW",
        "t.created_at",
    )[0]
    facts = [facts_of(row) for row in executions if not row["filler"]]
    return {
        "opportunities": int(seen) + sum(int(row["count"]) for row in rolled_up(reader, window, "dropped")),
        "tickets": int(tickets["n"]),
        "approved": int(tickets["approved"]),
        "delivered": sum(fact.delivered for fact in facts),
        "mined": sum(fact.success for fact in facts),
        "profitable": sum(fact.success and (fact.net or 0) > 0 for fact in facts),
    }


def _incidents(reader: StoreReader, window: Window) -> dict[str, Any]:
    """Incidents by kind: how many, when first and last."""
    rows = window.query(
        reader,
        "SELECT kind, count(*) AS count, min(at) AS first, max(at) AS last FROM incident"
        " WHERE WINDOW GROUP BY kind ORDER BY kind",
        "at",
    )
    return {
        str(row["kind"]): {"count": int(row["count"]), "first": row["first"], "last": row["last"]}
        for row in rows
    }


def _recovery(reader: StoreReader, window: Window) -> dict[str, int]:
    """Executions that did not go straight: dearer attempts, cancels, reorganisations, restarts; open ones now.

    Fillers are among those that were reorganised, taken up or are open; their one attempt is no cancel.
    """
    row = window.query(
        reader,
        "SELECT coalesce(sum((SELECT count(*) FROM attempt AS a WHERE a.execution_id = e.id AND a.kind = 'trade') > 1),"
        " 0) AS bumped, coalesce(sum(NOT e.filler AND EXISTS (SELECT 1 FROM attempt AS a WHERE a.execution_id = e.id"
        " AND a.kind = 'cancel')), 0) AS cancel_sent,"
        " coalesce(sum(NOT e.filler AND e.status = 'cancelled'), 0) AS cancelled,"
        " coalesce(sum(EXISTS (SELECT 1 FROM execution_event AS v WHERE v.execution_id = e.id"
        " AND v.from_status IN ('mined', 'reverted', 'cancelled') AND v.to_status = 'submitted')), 0) AS reorged,"
        " coalesce(sum(EXISTS (SELECT 1 FROM execution_event AS v WHERE v.execution_id = e.id"
        " AND v.reason LIKE '%the journal at start%')), 0) AS taken_up,"
        " coalesce(sum(e.status IN ('prepared', 'submitted')), 0) AS open FROM v_execution AS e"
        " WHERE WINDOW",
        "e.decided_at",
    )[0]
    return {name: int(value) for name, value in row.items()}
