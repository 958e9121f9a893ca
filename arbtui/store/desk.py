"""The desk's read-model: what a person in front of the store has to see, in one read transaction.

Every string is made safe here a second time: a desk must not trust that whoever wrote the rows did it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbtui.store.lock import engine_pid
from arbtui.store.queries import Row, StoreReader, _execution, _token, _without_twins
from arbtui.text import safe_text

#: Longest text shown of a row's string; hashes and digests are shorter.
_TEXT = 400
_SYMBOL = 16


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block the engine has told of; amounts in wei."""

    number: int
    timestamp: int
    base_fee_per_gas: int
    wallet_balance: int | None


@dataclass(frozen=True, slots=True)
class Today:
    """Since midnight UTC, by decision; `net_wei` is the exact sum of what the receipts say.

    Fillers of nonce gaps are in the money alone.
    """

    net_wei: int
    settled: int
    mined: int


@dataclass(frozen=True, slots=True)
class Flight:
    """An execution that is prepared or submitted, with its attempts and the last event, incident and recovery."""

    execution: Row
    attempts: tuple[Row, ...]
    event: Row | None
    incident: Row | None
    recovery: Row | None


@dataclass(frozen=True, slots=True)
class DeskView:
    """One moment of the store. Rows are as `StoreReader` gives them, their strings safe to print.

    `waiting`: tickets of the newest run without a decision that the head has not passed; `asked` in them is the last
    approval or rejection that was asked for: kind and result. `dropped`: what the newest block with opportunities
    refused, best first. `unreconciled_named` is `StoreReader.unsound`, `unreconciled` their number.
    """

    run: Row | None
    head: Head | None
    engine_pid: int | None
    today: Today
    waiting: tuple[Row, ...]
    dropped: tuple[Row, ...]
    dropped_block: int | None
    flights: tuple[Flight, ...]
    executions: tuple[Row, ...]
    unreconciled: int
    decisions: tuple[Row, ...]
    incidents: tuple[Row, ...]
    commands: tuple[Row, ...]
    closings: tuple[Row, ...]
    nodes: tuple[Row, ...]
    tokens: dict[str, tuple[str, int]]
    unreconciled_named: tuple[Row, ...] = ()

    def ticket(self, ticket_id: str) -> Row | None:
        """A waiting ticket; None where it waits no more."""
        return next((row for row in self.waiting if row["id"] == ticket_id), None)


def read_desk(
    reader: StoreReader, now: str, directory: Path | None = None, *, recent: int = 50, log: int = 200
) -> DeskView:
    """The desk's view at `now` (as the store writes times), in one short read transaction."""
    pid = engine_pid(directory or reader.path.parent)
    with reader.snapshot():
        run = next(iter(reader.query("SELECT * FROM run ORDER BY started_at DESC, rowid DESC LIMIT 1")), None)
        head = _head(reader, run)
        block, dropped = _dropped(reader, run, head)
        unsound = reader.unsound()
        return DeskView(
            run=clean(run) if run else None,
            head=head,
            engine_pid=pid,
            today=_today(reader, now[:10]),
            waiting=tuple(clean(row) for row in _waiting(reader, run, head)),
            dropped=tuple(clean(row) for row in dropped),
            dropped_block=block,
            flights=tuple(_flights(reader)),
            executions=tuple(clean(row) for row in _executions(reader, recent)),
            unreconciled=len(unsound),
            unreconciled_named=tuple(clean(row) for row in unsound),
            decisions=tuple(clean(row) for row in _decisions(reader, log)),
            incidents=tuple(clean(row) for row in reader.incidents(log)),
            commands=tuple(
                _command(row)
                for row in reader.query("SELECT * FROM command ORDER BY id DESC LIMIT ?", (log,))
            ),
            closings=tuple(clean(row) for row in reader.closings(limit=log)),
            nodes=tuple(clean(row) for row in reader.nodes()),
            tokens=_tokens(reader),
        )


def read_detail(reader: StoreReader, key: str) -> Row | None:
    """A ticket, an opportunity or an execution by its id, with all that belongs to it; None where there is none.

    A ticket: path with exact amounts, quotes, ladder, the newest phase's checks, fallback, rate, decisions. An
    opportunity the same as far as it has them. An execution: its ticket's too, events, attempts, recovery,
    settlement.
    """
    with reader.snapshot():
        found = reader.execution(key)
        if found is not None:
            found["what"] = "execution"
            found["trade"] = _ticket_detail(reader, found["ticket"])
            found["incidents"] = reader.query(
                "SELECT * FROM incident WHERE execution_id = ? ORDER BY id", (key,)
            )
        else:
            found = _ticket_detail(reader, key)
        if found is None:
            found = reader.opportunity(key)
            if found is not None:
                found["what"] = "opportunity"
                found["opportunity"] = found["id"]
                found["checks"] = _newest_phase(found["checks"])
        if found is None:
            return None
        found["tokens"] = {address: list(known) for address, known in _tokens(reader).items()}
    return clean(found)


def clean(row: Row) -> Row:
    """The same row with every string, however deep, safe to print on one line."""
    return {key: _clean(value, _SYMBOL if key == "symbol" else _TEXT) for key, value in row.items()}


def _clean(value: Any, limit: int = _TEXT) -> Any:
    if isinstance(value, str):
        if len(value) <= limit and value.isascii() and value.isprintable():
            return value
        return safe_text(value, limit)
    if isinstance(value, dict):
        return clean(value)
    if isinstance(value, list | tuple):
        return [_clean(item, limit) for item in value]
    return value


def _head(reader: StoreReader, run: Row | None) -> Head | None:
    if run is None:
        return None
    rows = reader.query(
        "SELECT number, timestamp, base_fee_per_gas, wallet_balance FROM block WHERE run = ?"
        " ORDER BY rowid DESC LIMIT 1",
        (run["id"],),
    )
    if not rows:
        return None
    balance = rows[0]["wallet_balance"]
    return Head(
        int(rows[0]["number"]),
        int(rows[0]["timestamp"]),
        int(rows[0]["base_fee_per_gas"]),
        None if balance is None else int(balance),
    )


def _waiting(reader: StoreReader, run: Row | None, head: Head | None) -> list[Row]:
    if run is None:
        return []
    rows = reader.query(
        "SELECT t.id, t.digest, t.run, t.opportunity_id, t.block, t.created_at, t.lender, t.strategy,"
        " t.min_profit, t.last_block, t.expected_profit, t.expected_net_wei, t.worst_cost,"
        " n.block AS now_block, n.expected_profit AS now_profit, n.expected_gas AS now_gas,"
        " n.expected_net_wei AS now_net_wei, n.seen_at, o.path, o.path_id, o.token, o.token_symbol,"
        " o.token_decimals, o.amount_in, o.gross_profit"
        " FROM ticket AS t JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id"
        " LEFT JOIN ticket_now AS n ON n.ticket_id = t.id"
        " WHERE t.run = ?1 AND t.last_block >= ?2"
        " AND NOT EXISTS (SELECT 1 FROM decision AS d WHERE d.ticket_id = t.id) ORDER BY t.rowid DESC",
        (run["id"], head.number if head else 0),
    )
    asked = {
        str(row["ticket"]): (str(row["kind"]), row["result"] if row["taken_at"] else None)
        for row in reader.query(
            "SELECT json_extract(argument, '$.ticket') AS ticket, kind, taken_at, result FROM command"
            " WHERE kind IN ('approve', 'reject') AND id > (SELECT coalesce(max(id), 0) - 500 FROM command)"
            " ORDER BY id"
        )
    }
    for row in rows:
        row["token"] = _token(row)
        row["path"] = json.loads(row["path"])
        row["asked"] = asked.get(row["id"])
    return rows


def _dropped(reader: StoreReader, run: Row | None, head: Head | None) -> tuple[int | None, list[Row]]:
    """What the newest block refused; of an earlier one where the newest had nothing at all."""
    if run is None or head is None:
        return None, []
    newest = reader.query("SELECT max(block) AS block FROM opportunity WHERE run = ?", (run["id"],))[0][
        "block"
    ]
    if newest is None:
        return None, []
    rows = reader.query(
        "SELECT o.*, (SELECT count(*) FROM check_result AS c WHERE c.run = o.run AND c.subject_id = o.id) AS checks"
        " FROM opportunity AS o WHERE run = ? AND block = ? AND outcome = 'dropped'"
        " ORDER BY net_wei_real IS NULL, net_wei_real DESC, id LIMIT 500",
        (run["id"], newest),
    )
    for row in rows:
        row["token"] = _token(row)
        row["path"] = json.loads(row["path"])
    return int(newest), [_without_twins(row) for row in rows]


def _today(reader: StoreReader, day: str) -> Today:
    rows = reader.query(
        "SELECT net_wei, status, filler FROM v_execution WHERE net_wei IS NOT NULL AND decided_at >= ?",
        (day,),
    )
    trades = [row for row in rows if not row["filler"]]
    return Today(
        sum(int(row["net_wei"]) for row in rows),
        len(trades),
        sum(row["status"] == "mined" for row in trades),
    )


def _flights(reader: StoreReader) -> Iterable[Flight]:
    rows = reader.query(
        "SELECT v.*, e.nonce, t.last_block FROM v_execution AS v JOIN execution AS e ON e.id = v.id"
        " LEFT JOIN ticket AS t ON t.id = v.ticket_id"
        " WHERE v.status IN ('prepared', 'submitted') ORDER BY v.decided_at, v.id"
    )
    for row in rows:
        key = (row["id"],)
        attempts = reader.query("SELECT * FROM attempt WHERE execution_id = ? ORDER BY number", key)
        events = reader.query(
            "SELECT * FROM execution_event WHERE execution_id = ? ORDER BY id DESC LIMIT 1", key
        )
        incidents = reader.query(
            "SELECT * FROM incident WHERE execution_id = ? ORDER BY id DESC LIMIT 1", key
        )
        decided = reader.recoveries(row["id"])
        row["token"] = _token(row)
        yield Flight(
            clean(_without_twins(row)),
            tuple(clean(_without_twins(attempt)) for attempt in attempts),
            clean(events[0]) if events else None,
            clean(incidents[0]) if incidents else None,
            clean(decided[-1]) if decided else None,
        )


def _executions(reader: StoreReader, limit: int) -> list[Row]:
    rows = reader.query(
        "SELECT v.*, o.path, t.digest FROM v_execution AS v LEFT JOIN ticket AS t ON t.id = v.ticket_id"
        " LEFT JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id"
        " ORDER BY v.decided_at DESC, v.id DESC LIMIT ?",
        (limit,),
    )
    found = []
    for row in rows:
        shown = _execution(row, {}, set(), {})
        shown["attempts"] = row["attempts"]
        shown["path"] = json.loads(row["path"]) if row["path"] else []
        shown["settled"] = row["net_wei"] is not None
        shown["digest"] = row["digest"]
        found.append(shown)
    return found


def _decisions(reader: StoreReader, limit: int) -> list[Row]:
    return reader.query(
        "SELECT d.*, t.digest, t.lender, t.expected_net_wei FROM decision AS d"
        " JOIN ticket AS t ON t.id = d.ticket_id ORDER BY d.id DESC LIMIT ?",
        (limit,),
    )


def _command(row: Row) -> Row:
    argument = json.loads(row["argument"])
    return clean({**row, "argument": argument if isinstance(argument, dict) else {}})


def _ticket_detail(reader: StoreReader, ticket_id: str) -> Row | None:
    found = reader.ticket(ticket_id)
    if found is None:
        return None
    found["what"] = "ticket"
    del found["calldata"]
    if found["fallback"] is not None:
        found["fallback"].pop("calldata", None)
    found["checks"] = _newest_phase(found["checks"])
    return found


def _newest_phase(checks: list[Row]) -> list[Row]:
    """Those of the send where there was one, else those the ticket was made with."""
    phases = {check["phase"] for check in checks}
    newest = "send" if "send" in phases else "ticket"
    return [check for check in checks if check["phase"] == newest]


def _tokens(reader: StoreReader) -> dict[str, tuple[str, int]]:
    """Symbol and decimals of every token the store has met, by address in lower case."""
    rows = reader.query(
        "SELECT DISTINCT token, token_symbol, token_decimals FROM"
        " (SELECT token, token_symbol, token_decimals FROM opportunity ORDER BY rowid DESC LIMIT 500)"
        " UNION SELECT DISTINCT token, token_symbol, token_decimals FROM"
        " (SELECT token, token_symbol, token_decimals FROM settlement_delta ORDER BY rowid DESC LIMIT 500)"
    )
    return {
        str(row["token"]).lower(): (_clean(row["token_symbol"], _SYMBOL), int(row["token_decimals"]))
        for row in rows
    }


__all__ = ["DeskView", "Flight", "Head", "Today", "clean", "read_desk", "read_detail"]
