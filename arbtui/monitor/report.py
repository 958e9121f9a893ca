"""The report, from the store's rows alone: exact sums in Python integers, amounts as decimal strings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from arbtui.domain import ClosedBy, DecisionKind, Token
from arbtui.domain.settlement import NATIVE
from arbtui.errors import UsageError
from arbtui.monitor.performance import ExecutionFacts, Performance, fold
from arbtui.store.driver import utc_now
from arbtui.store.queries import Row, StoreReader

ETH = Token(NATIVE, "ETH", 18)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LANDED = ("mined", "reverted", "cancelled")
#: Of those who took opportunities the greatest are named.
_SENDERS = 10


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


def build_report(
    reader: StoreReader, since: str | None = None, numeraire: Token = ETH, *, now: str | None = None
) -> dict[str, Any]:
    """The object of `arbtui report --json`.

    An execution is in the window by its decision, an opportunity by when it was seen. `since` is as `parse_since` gives
    it. `numeraire` names the native coin.
    """
    with reader.snapshot():
        return _report(reader, since, numeraire, now or utc_now())


def _report(reader: StoreReader, since: str | None, numeraire: Token, now: str) -> dict[str, Any]:
    rows = execution_rows(reader, since)
    settlements = reader.settlements(since)
    facts = [(row, facts_of(row)) for row in rows]
    total = fold(fact for _, fact in facts)
    decisions = _decisions(reader, since)
    runs = reader.runs()
    return {
        "window": {"since": since, "until": now},
        "stage": runs[0]["stage"] if runs else None,
        "runs": len([run for run in runs if since is None or (run["ended_at"] or since) >= since]),
        "numeraire": {"symbol": numeraire.symbol, "decimals": numeraire.decimals},
        "by_token": _by_token(settlements, numeraire),
        "executions": total.executions,
        "delivered": total.delivered,
        "successes": total.successes,
        "success_rate": total.success_rate,
        "avg_execution_time_s": total.avg_seconds,
        "p50_execution_time_s": total.p50_seconds,
        "p95_execution_time_s": total.p95_seconds,
        "avg_profit": _down(total.avg_profit),
        "net_profit": _down(total.net_profit),
        "gas_spent_wei": str(total.gas_spent),
        "gas_efficiency": total.gas_efficiency,
        "gas_share": total.gas_share,
        "error_counts": _error_counts(reader, since, rows),
        "by_status": _count(str(row["status"]) for row in rows),
        "by_lender": _grouped(facts, lambda row: str(row["lender"])),
        "by_gas_strategy": _grouped(facts, lambda row: str(row["strategy"])),
        "by_path": _by_path(reader, facts),
        "unreconciled": sum(not (s["reconciled"] and s["sealed"]) for s in settlements),
        "not_yet_reconciled": sum(s["reconciled"] is None and s["sealed"] for s in settlements),
        "missed": _missed(reader, since, decisions),
        "decisions": decisions,
        "dropped": _dropped(reader, since),
    }


def ledger_rows(
    reader: StoreReader, since: str | None = None, numeraire: Token = ETH
) -> list[dict[str, Any]]:
    """A line per settlement, oldest first, all with the same keys: for `report --csv`.

    A `delta_<token>` column per token is its exact change over executor, wallet and treasury, in base units;
    the rate says how many base units of the ticket's token one wei of the native coin was worth, and where.
    """
    with reader.snapshot():
        settlements = reader.settlements(since)
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


def execution_rows(reader: StoreReader, since: str | None) -> list[Row]:
    return reader.query(
        "SELECT v.*, EXISTS (SELECT 1 FROM attempt AS a WHERE a.execution_id = v.id"
        " AND a.delivery = 'delivered') AS delivered"
        " FROM v_execution AS v WHERE ?1 IS NULL OR v.decided_at >= ?1 ORDER BY v.decided_at, v.id",
        (since,),
    )


def facts_of(row: Row) -> ExecutionFacts:
    landed = row["status"] in _LANDED
    return ExecutionFacts(
        # What a node answered ambiguously, or never, and was mined all the same, was delivered.
        delivered=bool(row["delivered"]) or landed,
        success=row["status"] == "mined",
        seconds=max(0.0, float(row["seconds"])) if landed and row["seconds"] is not None else None,
        net=_int(row["net_wei"]),
        gas_used=_int(row["gas_used"]),
        gas_cost=None if row["gas_cost"] is None else int(row["gas_cost"]) + int(row["l1_fee"]),
        error_class=str(row["error_class"]),
    )


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _down(value: int | Fraction | None) -> str | None:
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
        "delivered": result.delivered,
        "successes": result.successes,
        "success_rate": result.success_rate,
        "avg_execution_time_s": result.avg_seconds,
        "avg_profit": _down(result.avg_profit),
        "net_profit": _down(result.net_profit),
        "gas_spent_wei": str(result.gas_spent),
        "gas_efficiency": result.gas_efficiency,
        "gas_share": result.gas_share,
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
    for path_id, figures in groups.items():
        rows = reader.query("SELECT path FROM opportunity WHERE path_id = ? LIMIT 1", (path_id,))
        hops = json.loads(rows[0]["path"]) if rows else []
        figures["pools"] = [hop["pool"] for hop in hops]
        figures["dexes"] = [hop["dex"] for hop in hops]
    return groups


def _error_counts(reader: StoreReader, since: str | None, executions: list[Row]) -> dict[str, int]:
    """Incidents by class, and executions that ended in a class for which no incident was written."""
    incidents = reader.query(
        "SELECT error_class, execution_id FROM incident WHERE error_class <> '' AND (?1 IS NULL OR at >= ?1)",
        (since,),
    )
    told = {(row["execution_id"], row["error_class"]) for row in incidents}
    silent = [
        str(row["error_class"])
        for row in executions
        if row["error_class"] and (row["id"], row["error_class"]) not in told
    ]
    return _count([*(str(row["error_class"]) for row in incidents), *silent])


def _decisions(reader: StoreReader, since: str | None) -> dict[str, int]:
    counts = dict.fromkeys((kind.value for kind in DecisionKind), 0)
    for row in reader.query(
        "SELECT kind, count(*) AS n FROM decision WHERE ?1 IS NULL OR at >= ?1 GROUP BY kind", (since,)
    ):
        counts[str(row["kind"])] = int(row["n"])
    return counts


def _missed(reader: StoreReader, since: str | None, decisions: dict[str, int]) -> dict[str, Any]:
    """Tickets whose last word was not an approval, and what they would have earned by their own simulation."""
    by_decision: dict[str, dict[str, Any]] = {
        kind: {"tickets": 0, "expected_net_wei": 0} for kind in decisions if not kind.startswith("approved")
    }
    moved = 0
    for row in reader.query(
        "SELECT d.kind, d.moved_by_tx, t.expected_net_wei FROM decision AS d JOIN ticket AS t ON t.id = d.ticket_id"
        " WHERE d.id = (SELECT max(l.id) FROM decision AS l WHERE l.ticket_id = d.ticket_id)"
        " AND d.kind NOT LIKE 'approved%' AND (?1 IS NULL OR d.at >= ?1)",
        (since,),
    ):
        entry = by_decision[str(row["kind"])]
        entry["tickets"] += 1
        entry["expected_net_wei"] += int(row["expected_net_wei"])
        moved += row["moved_by_tx"] is not None
    return {
        "tickets": sum(entry["tickets"] for entry in by_decision.values()),
        "expected_net_wei": str(sum(entry["expected_net_wei"] for entry in by_decision.values())),
        "moved_by_others": moved,
        "closed": _closed(reader, since),
        "by_decision": {
            kind: {"tickets": entry["tickets"], "expected_net_wei": str(entry["expected_net_wei"])}
            for kind, entry in by_decision.items()
        },
    }


def _closed(reader: StoreReader, since: str | None) -> dict[str, Any]:
    """Opportunities that would have left something and ended, by who ended them; what each sender took."""
    by = {who.value: {"opportunities": 0, "net_wei": 0} for who in ClosedBy}
    senders: dict[str, dict[str, int]] = {}
    for row in reader.query(
        "SELECT c.closed_by, c.net_wei, c.sender FROM closing AS c"
        " JOIN opportunity AS o ON o.run = c.run AND o.id = c.opportunity_id WHERE ?1 IS NULL OR o.at >= ?1",
        (since,),
    ):
        entries = [by[str(row["closed_by"])]]
        if row["sender"] and row["closed_by"] == ClosedBy.FOREIGN:
            entries.append(senders.setdefault(str(row["sender"]), {"opportunities": 0, "net_wei": 0}))
        for entry in entries:
            entry["opportunities"] += 1
            entry["net_wei"] += int(row["net_wei"])
    best = sorted(senders.items(), key=lambda item: (-item[1]["net_wei"], item[0]))[:_SENDERS]
    return {
        "by": {who: _texts(entry) for who, entry in by.items()},
        "senders": {sender: _texts(entry) for sender, entry in best},
    }


def _texts(entry: dict[str, int]) -> dict[str, Any]:
    return {"opportunities": entry["opportunities"], "net_wei": str(entry["net_wei"])}


def _dropped(reader: StoreReader, since: str | None) -> dict[str, int]:
    rows = reader.query(
        "SELECT reason, count(*) AS n FROM opportunity WHERE outcome = 'dropped' AND (?1 IS NULL OR at >= ?1)"
        " GROUP BY reason ORDER BY reason",
        (since,),
    )
    return {str(row["reason"]): int(row["n"]) for row in rows}
