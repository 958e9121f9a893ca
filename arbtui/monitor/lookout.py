"""Reads the store for what somebody should be told. It opens nothing but the store, read-only."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from arbtui.domain import Token
from arbtui.monitor.book import span
from arbtui.monitor.performance import fold
from arbtui.monitor.policy import AlertsPolicy
from arbtui.monitor.report import ETH, build_report, execution_rows, facts_of
from arbtui.monitor.rules import Alarm, Level, own, unmarked
from arbtui.store.lock import engine_pid
from arbtui.store.queries import Row, StoreReader
from arbtui.units import format_amount

#: Most rows of one table that a look takes up; the rest is for the next.
PAGE = 5_000
_QUOTES = 400
#: Most settlements that are waited for.
_UNSETTLED = 500
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{40}\b")
#: What a node can be that somebody should know of.
_NODE_STATES = {
    "down": Level.ERROR,
    "quarantined": Level.ERROR,
    "stale": Level.WARNING,
    "limited": Level.WARNING,
}
_GONE_AFTER = 5
#: Reasons a lender gives that are not about the amount or the token asked for.
_GONE = frozenset({"paused", "inactive", "flash_loans_disabled", "not_live", "no_code", "unreadable"})
_HALTS = ("pause", "kill")
_GOES_ON = ("resume", "unpause", "release")
_INCIDENTS: dict[str, tuple[str, Level]] = {
    "node": ("node", Level.WARNING),
    "disagree": ("node", Level.ERROR),
    "reorg": ("reorg", Level.WARNING),
    "cancel": ("recovery", Level.WARNING),
    "recovery": ("recovery", Level.WARNING),
    "foreign_nonce": ("key", Level.ERROR),
    "stopped": ("stopped", Level.ERROR),
    "send": ("send", Level.WARNING),
    "breaker": ("pause", Level.ERROR),
}


@dataclass(frozen=True, slots=True)
class Looked:
    """What holds now, what has happened, and the marks from which the next look goes on."""

    standing: list[Alarm] = field(default_factory=list)
    events: list[Alarm] = field(default_factory=list)
    marks: dict[str, Any] = field(default_factory=dict)


class Lookout:
    """One store under watch. `now` gives UTC as the store writes it; `free_bytes` what is free on the disk."""

    def __init__(
        self,
        reader: StoreReader,
        policy: AlertsPolicy,
        *,
        now: Callable[[], str],
        native: Token = ETH,
        block_time_s: float = 12.0,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._reader = reader
        self._policy = policy
        self._now = now
        self._native = native
        self._block_time_s = block_time_s
        self._free_bytes = free_bytes
        self._began = now()
        self._rates: tuple[int, list[Alarm]] = (-1, [])

    def look(self, marks: dict[str, Any]) -> Looked:
        """One look. Without marks what happened before is left alone; what holds now is told all the same."""
        now = self._now()
        directory = self._reader.path.parent
        pid = engine_pid(directory)
        version = self._reader.data_version()
        with self._reader.snapshot():
            run = next(
                iter(self._reader.query("SELECT * FROM run ORDER BY started_at DESC, rowid DESC LIMIT 1")),
                None,
            )
            head = self._head(run)
            new_marks = dict(marks)
            # Since when somebody watches: a watch that is begun anew knows of what ended before it.
            began = new_marks.setdefault("began", self._began)
            nodes = self._states(run)
            stopped = self._stopped()
            events = [
                *self._incidents(marks, new_marks, nodes, {row["execution_id"] for row in stopped}),
                *self._moves(marks, new_marks),
            ]
            if version != self._rates[0]:
                self._rates = (version, list(self._bounds(now)))
            standing = [
                *self._tickets(run, head),
                *self._stuck(now),
                *self._halted(),
                *self._stops(stopped),
                *self._unreconciled(),
                *self._lenders(run, marks, new_marks),
                *self._rates[1],
                *self._engine(run, pid, began),
                *self._node(head, pid, now),
                *self._bad_nodes(nodes, pid),
                *self._gas(head),
            ]
        standing += self._disk(directory)
        events += self._summary(now, marks, new_marks)
        off = set(self._policy.off)
        return Looked(
            [alarm for alarm in standing if alarm.rule not in off],
            [alarm for alarm in events if alarm.rule not in off],
            new_marks,
        )

    # ---- what has happened

    def _since(self, table: str, marks: dict[str, Any], new: dict[str, Any]) -> tuple[int, int]:
        """The ids of a table to take up: after the first, up to the second."""
        last = int(self._reader.query(f"SELECT coalesce(max(id), 0) AS id FROM {table}")[0]["id"])  # noqa: S608 - ours
        first = int(marks.get(table, last))
        # A store that was begun anew has lower ids.
        first = min(first, last)
        new[table] = min(last, first + PAGE)
        return first, new[table]

    def _incidents(
        self, marks: dict[str, Any], new: dict[str, Any], nodes: list[Row], stopped: set[Any]
    ) -> Iterator[Alarm]:
        bounds = self._since("incident", marks, new)
        for row in self._reader.query("SELECT * FROM incident WHERE id > ? AND id <= ? ORDER BY id", bounds):
            kind = str(row["kind"])
            if kind == "unreconciled":
                continue  # it stands until somebody has acknowledged it
            if kind == "stopped" and row["execution_id"] in stopped:
                continue  # the same
            node = _node_of(str(row["detail"]), nodes) if kind in ("node", "disagree") else None
            if node is not None and re.match(
                rf"{re.escape(node['name'])} is (ok|{node['state']})\b", str(row["detail"])
            ):
                continue  # it stands, or its end is told
            rule, level = _INCIDENTS.get(kind, ("incident", Level.WARNING))
            if kind.startswith("recover"):
                rule = "recovery"
            subject = _subject(row, rule, node)
            said = unmarked(row["detail"]) or "no detail"
            of = f", execution {_short(row['execution_id'])}" if row["execution_id"] else ""
            error = f" {unmarked(row['error_class'], 40)}" if row["error_class"] else ""
            yield Alarm(rule, subject, level, f"{unmarked(kind, 40)}{error}{of}: {said}")

    def _moves(self, marks: dict[str, Any], new: dict[str, Any]) -> Iterator[Alarm]:
        bounds = self._since("execution_event", marks, new)
        rows = self._reader.query(
            "SELECT v.execution_id, v.to_status, v.reason AS why, x.lender, x.net_wei, x.expected_net_wei,"
            " x.mined_block, x.status, v.id"
            " FROM execution_event AS v JOIN v_execution AS x ON x.id = v.execution_id"
            " WHERE (v.id > ?1 AND v.id <= ?2 AND (v.to_status IN ('mined', 'reverted', 'cancelled')"
            " OR v.reason LIKE '%the journal at start%'))"
            " OR v.id IN (SELECT value FROM json_each(?3)) ORDER BY v.id",
            (*bounds, json.dumps(marks.get("unsettled", []))),
        )
        unsettled: list[int] = []
        for row in rows:
            name, status = str(row["execution_id"]), str(row["to_status"])
            settled = row["net_wei"] is not None
            net = int(row["net_wei"] or 0)
            lender = unmarked(row["lender"], 24)
            if not settled and status in ("mined", "reverted", "cancelled") and row["status"] == status:
                # After a crash its settlement is written later than its outcome.
                unsettled.append(int(row["id"]))
            seen = int(row["id"]) <= bounds[0]
            if not seen and "the journal at start" in str(row["why"]):
                yield Alarm(
                    "recovery",
                    name,
                    Level.WARNING,
                    f"execution {_short(name)} was taken up from the journal: {status}",
                )
            if net < 0 and (status == "mined" or -net > self._policy.loss_above_wei):
                expected = self._coin(row["expected_net_wei"])
                text = (
                    f"loss of {self._coin(-net)}: execution {_short(name)} {status} through {lender}"
                    f" in block {row['mined_block']}, expected {expected}"
                )
                yield Alarm("loss", name, Level.ERROR, own(text))
            if status == "reverted" and not seen:
                gas = self._coin(-net if settled else None)
                text = f"reverted through {lender}: execution {_short(name)}, gas {gas}"
                yield Alarm("revert", str(row["lender"]), Level.WARNING, own(text))
        new["unsettled"] = unsettled[-_UNSETTLED:]

    def _summary(self, now: str, marks: dict[str, Any], new: dict[str, Any]) -> Iterator[Alarm]:
        hour = self._policy.summary_hour
        moment = datetime.fromisoformat(now)
        due = (moment - timedelta(hours=hour)).date().isoformat()
        if hour < 0:
            return
        new["summary"] = due
        if marks.get("summary", due) == due:
            return
        since = (moment - timedelta(days=1)).isoformat(timespec="microseconds")
        report = build_report(self._reader, since, self._native, now=now)
        rate = "-" if report["success_rate"] is None else f"{report['success_rate']:.0%}"
        ratio = report["expected"]["successes"]["ratio"]
        text = (
            f"last 24 h: net {self._coin(report['net_profit'])}, {report['executions']} executions, {rate} succeeded,"
            f" gas {self._coin(report['gas_spent_wei'])}, realised {'-' if ratio is None else f'{ratio:.0%}'} of"
            f" expected, missed at most {self._coin(report['missed']['expected_net_wei'])},"
            f" unreconciled {report['unreconciled']}"
        )
        yield Alarm("summary", due, Level.INFO, own(text))

    # ---- what holds

    def _head(self, run: Row | None) -> Row | None:
        if run is None:
            return None
        rows = self._reader.query(
            "SELECT number, timestamp, wallet_balance FROM block WHERE run = ? ORDER BY rowid DESC LIMIT 1",
            (run["id"],),
        )
        return rows[0] if rows else None

    def _tickets(self, run: Row | None, head: Row | None) -> Iterator[Alarm]:
        if run is None or head is None or run["approve"] == "all":
            return
        for row in self._reader.query(
            "SELECT t.id, t.lender, t.last_block, coalesce(n.expected_net_wei, t.expected_net_wei) AS net"
            " FROM ticket AS t LEFT JOIN ticket_now AS n ON n.ticket_id = t.id WHERE t.run = ?1 AND t.last_block > ?2"
            " AND NOT EXISTS (SELECT 1 FROM decision AS d WHERE d.ticket_id = t.id) ORDER BY t.rowid DESC LIMIT 50",
            (run["id"], head["number"]),
        ):
            if int(row["net"]) < self._policy.ticket_above_wei:
                continue
            left = (int(row["last_block"]) - int(head["number"])) * self._block_time_s
            text = (
                f"ticket {_short(row['id'])} waits: {self._coin(row['net'])} expected through"
                f" {unmarked(row['lender'], 24)}; last block {row['last_block']}, about {span(left)} left"
            )
            yield Alarm("ticket_waits", str(row["id"]), Level.WARNING, own(text), tells_end=False)

    def _stuck(self, now: str) -> Iterator[Alarm]:
        limit = datetime.fromisoformat(now) - timedelta(seconds=self._policy.stuck_s)
        for row in self._reader.query(
            "SELECT e.id, e.nonce, e.status, coalesce(e.sent_at, e.decided_at) AS since,"
            " (SELECT count(*) FROM attempt AS a WHERE a.execution_id = e.id) AS attempts FROM execution AS e"
            " WHERE e.status IN ('prepared', 'submitted') AND coalesce(e.sent_at, e.decided_at) <= ?",
            (limit.isoformat(timespec="microseconds"),),
        ):
            text = (
                f"execution {_short(row['id'])} is {row['status']} for longer than {span(self._policy.stuck_s)}:"
                f" nonce {row['nonce']}, {row['attempts']} attempts"
            )
            yield Alarm("stuck", str(row["id"]), Level.ERROR, own(text))

    def _halted(self) -> Iterator[Alarm]:
        marks = ", ".join("?" * len(_HALTS + _GOES_ON))
        rows = self._reader.query(
            f"SELECT kind, argument, taken_at FROM command WHERE taken_at IS NOT NULL AND kind IN ({marks})"  # noqa: S608
            " AND result NOT LIKE 'refused%' AND result NOT LIKE 'failed%' ORDER BY id DESC LIMIT 1",
            _HALTS + _GOES_ON,
        )
        if rows and rows[0]["kind"] in _HALTS:
            argument = json.loads(rows[0]["argument"])
            by = unmarked(argument.get("by", ""), 32) if isinstance(argument, dict) else ""
            text = f"sending is stopped by {rows[0]['kind']}" + (f" (by {by})" if by else "")
            yield Alarm("pause", "command", Level.ERROR, text)

    def _stopped(self) -> list[Row]:
        """The first stop of each execution since somebody acknowledged. What was decided later shows that one did."""
        return self._reader.query(
            "SELECT min(i.id) AS id, i.execution_id, i.detail FROM incident AS i WHERE i.kind = 'stopped'"
            " AND i.at >= coalesce((SELECT max(c.taken_at) FROM command AS c WHERE c.kind = 'acknowledge'"
            " AND c.result = 'acknowledged' AND json_extract(c.argument, '$.id') IS NULL), '')"
            # A gap is filled while the account is stopped, too.
            " AND i.at >= coalesce((SELECT max(e.decided_at) FROM execution AS e WHERE e.ticket_id <> ''), '')"
            " GROUP BY i.execution_id LIMIT 100"
        )

    def _stops(self, rows: list[Row]) -> Iterator[Alarm]:
        for row in rows:
            of = f" (execution {_short(row['execution_id'])})" if row["execution_id"] else ""
            text = f"the account is stopped{of}: {unmarked(row['detail'], 300)}; see arbtui recover"
            # By its number: stopped again, after somebody acknowledged, is another one.
            yield Alarm("stopped", f"since {row['id']}", Level.ERROR, text)

    def _unreconciled(self) -> Iterator[Alarm]:
        """What the report counts as such, named alike; a settlement whose difference a person has seen is quiet."""
        seen = {
            str(row["execution_id"])
            for row in self._reader.query(
                "SELECT execution_id FROM reconciliation WHERE acknowledged_at IS NOT NULL AND execution_id IS NOT NULL"
            )
        }
        for row in self._reader.unsound()[:100]:
            said = unmarked(row["difference"], 300)
            known = row["reconciliation"]
            stop = "" if known is None else f"; sending is stopped until `arbtui acknowledge {known}`"
            if row["what"] == "balances":
                where, subject = f"blocks {row['from_block']} to {row['to_block']}", f"blocks {known}"
            else:
                name = str(row["execution"])
                if row["what"] == "settlement" and name in seen:
                    continue
                where, subject = f"execution {_short(name)}, block {row['block']}", name
            text = f"unreconciled: {where}: {said}{stop}"
            yield Alarm("unreconciled", subject, Level.ERROR, text.translate({ord("`"): "'"}))

    def _lenders(self, run: Row | None, marks: dict[str, Any], new: dict[str, Any]) -> Iterator[Alarm]:
        known = set(marks.get("lenders", ()))
        newest: dict[str, list[Row]] = {}
        for row in self._reader.query(
            "SELECT lender, usable, reason FROM loan_quote WHERE run = ? ORDER BY rowid DESC LIMIT ?",
            (run["id"] if run else "", _QUOTES),
        ):
            newest.setdefault(str(row["lender"]), []).append(row)
            if row["usable"]:
                known.add(str(row["lender"]))
        new["lenders"] = sorted(known)
        for lender in sorted(known):
            last = newest.get(lender, [])[:_GONE_AFTER]
            if len(last) == _GONE_AFTER and all(not r["usable"] and r["reason"] in _GONE for r in last):
                text = f"{unmarked(lender, 24)} lends nothing any more: {unmarked(last[0]['reason'], 40)}"
                yield Alarm("lender_vanished", lender, Level.WARNING, text)

    def _bounds(self, now: str) -> Iterator[Alarm]:
        policy = self._policy
        since = datetime.fromisoformat(now) - timedelta(seconds=policy.window_s)
        rows = execution_rows(self._reader, since.isoformat(timespec="microseconds"))
        result = fold(facts_of(row) for row in rows)
        window = span(policy.window_s)
        rate = result.success_rate
        if result.delivered >= policy.at_least and rate is not None and rate < policy.min_success_rate:
            text = f"{rate:.0%} of {result.delivered} executions succeeded in the last {window}"
            yield Alarm(
                "success_rate", "", Level.WARNING, own(f"{text}; bound {policy.min_success_rate:.0%}")
            )
        promise = result.promise_of_successes
        if promise.executions >= policy.at_least and (promise.ratio or 0) < policy.min_realised_share:
            text = (
                f"successes realised {promise.ratio or 0:.0%} of what was expected in the last {window};"
                f" bound {policy.min_realised_share:.0%}"
            )
            yield Alarm("realised", "", Level.WARNING, own(text))

    def _engine(self, run: Row | None, pid: int | None, began: str) -> Iterator[Alarm]:
        if run is None or pid is not None:
            return
        if run["ended_at"] is None:
            yield Alarm(
                "engine_stopped",
                "",
                Level.ERROR,
                "the engine is gone without a word: no process holds the store",
            )
        elif run["ended_at"] >= began:
            yield Alarm("engine_stopped", "", Level.WARNING, "the engine was stopped")

    def _node(self, head: Row | None, pid: int | None, now: str) -> Iterator[Alarm]:
        if head is None or pid is None:
            return
        age = datetime.fromisoformat(now).timestamp() - int(head["timestamp"])
        if age > max(15.0, self._policy.stale_blocks * self._block_time_s):
            text = f"no new block since {head['number']}: the node is down or stale"
            yield Alarm("node_stale", "", Level.ERROR, text)

    def _states(self, run: Row | None) -> list[Row]:
        """What the newest run tells of its nodes."""
        return self._reader.query(
            "SELECT name, state, detail FROM node WHERE run = ? ORDER BY name LIMIT 100",
            (run["id"] if run else "",),
        )

    def _bad_nodes(self, nodes: list[Row], pid: int | None) -> Iterator[Alarm]:
        if pid is None:
            return
        for row in nodes:
            level = _NODE_STATES.get(str(row["state"]))
            if level is None:
                continue
            why = f": {unmarked(row['detail'])}" if row["detail"] else ""
            yield Alarm(
                "node",
                f"{row['state']}: {row['name']}",
                level,
                f"{unmarked(row['name'], 64)} is {row['state']}{why}",
            )

    def _gas(self, head: Row | None) -> Iterator[Alarm]:
        if head is None or head["wallet_balance"] is None:
            return
        if int(head["wallet_balance"]) < self._policy.low_gas_wei:
            bound = self._coin(self._policy.low_gas_wei)
            text = f"the wallet holds {self._coin(head['wallet_balance'])} for gas; bound {bound}"
            yield Alarm("low_gas", "", Level.WARNING, own(text))

    def _disk(self, directory: Path) -> list[Alarm]:
        free = self._free_bytes(directory) // 2**20
        if free >= self._policy.disk_free_mb:
            return []
        text = f"{free:,} MB are free where the store is; bound {self._policy.disk_free_mb:,} MB"
        return [Alarm("disk_low", "", Level.ERROR, text)]

    def _coin(self, wei: str | int | None) -> str:
        if wei is None:
            return "-"
        return f"{format_amount(int(wei), self._native.decimals, 6)} {unmarked(self._native.symbol, 12)}"


def _node_of(detail: str, nodes: list[Row]) -> Row | None:
    """The node that a detail begins with, or else has in it."""
    named = [row for row in nodes if re.search(rf"(?<![\w.-]){re.escape(row['name'])}(?![\w-])", detail)]
    return min(named, key=lambda row: detail.index(row["name"]), default=None)


def _subject(row: Row, rule: str, node: Row | None) -> str:
    """What an incident is about: an execution, a node or a pool where there is one, else its kind."""
    kind, execution = str(row["kind"]), str(row["execution_id"] or "")
    if rule == "send":
        return str(row["error_class"])
    if rule in ("key", "recovery"):
        return execution or ("" if rule == "key" else kind)
    if rule == "stopped":
        return f"event {row['id']}"
    if node is not None:
        return f"{kind} {node['name']}"
    pool = _ADDRESS.search(str(row["detail"]))
    about = execution or (pool.group().lower() if pool else "")
    return f"{kind} {about}" if about else kind


def _short(value: object) -> str:
    return unmarked(value, 80)[-16:]
