"""What the engine writes into its store while it runs, as moments of a drill's timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from arbtui.domain import FINAL_STATUSES
from arbtui.drills.timeline import Timeline
from arbtui.errors import StoreError
from arbtui.store import StoreReader, open_store
from arbtui.text import safe_text
from arbtui.units import format_amount, format_gwei

Row = dict[str, Any]
_REASON = 180
_FINAL = {status.value for status in FINAL_STATUSES}


class StoreWatch:
    """Rows of the live store that are new since the last look, oldest first. Only reads."""

    def __init__(self, directory: Path, timeline: Timeline) -> None:
        self._directory = directory
        self._say = timeline
        self._reader: StoreReader | None = None
        self._last = {"incident": 0, "execution_event": 0, "decision": 0, "recovery_event": 0}
        self._tables: set[str] = set()
        self._tickets: set[str] = set()
        self._settled: set[str] = set()
        self._told_attempts: dict[tuple[str, int], tuple[str, str]] = {}
        self.incidents: list[Row] = []
        self.events: list[Row] = []
        self.decisions: list[Row] = []
        self.recoveries: list[Row] = []
        self.tickets: list[Row] = []
        self.attempts: dict[tuple[str, int], Row] = {}
        #: The newest block it has worked on.
        self.block = 0

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def look(self) -> None:
        """Take in what is new; nothing where there is no store yet."""
        if self._reader is None:
            try:
                self._reader = open_store(self._directory)
            except StoreError:
                return
            names = self._reader.query("SELECT name FROM sqlite_master WHERE type = 'table'")
            self._tables = {row["name"] for row in names}
        reader = self._reader
        with reader.snapshot():
            self.block = reader.query("SELECT coalesce(max(number), 0) AS newest FROM block")[0]["newest"]
            for row in reader.query("SELECT id, digest, lender, last_block FROM ticket ORDER BY created_at"):
                self._ticket(row)
            for row in self._new(reader, "decision"):
                self.decisions.append(row)
                self._say("decision", _sentence(row["ticket_id"], row["kind"], row["reason"]))
            for row in reader.query("SELECT * FROM attempt ORDER BY execution_id, number"):
                self._attempt(row)
            for row in self._new(reader, "incident"):
                self.incidents.append(row)
                kind = row["kind"] + (f" ({row['error_class']})" if row["error_class"] else "")
                self._say("incident", f"{kind}: {row['detail']}")
            for row in self._new(reader, "recovery_event"):
                self.recoveries.append(row)
                self._say("recovery", f"{row['error_class']}: {row['action']}, {row['reason']}")
            for row in self._new(reader, "execution_event"):
                self.events.append(row)
                self._say("execution", _sentence(row["execution_id"], row["to_status"], row["reason"]))
            for row in reader.query("SELECT * FROM settlement"):
                self._settlement(row)

    def _new(self, reader: StoreReader, table: str) -> list[Row]:
        if table not in self._tables:
            return []
        rows = reader.query(
            f"SELECT * FROM {table} WHERE id > ? ORDER BY id",  # noqa: S608 - one of the names above
            (self._last[table],),
        )
        if rows:
            self._last[table] = rows[-1]["id"]
        return rows

    def _ticket(self, row: Row) -> None:
        if row["id"] not in self._tickets:
            self._tickets.add(row["id"])
            self.tickets.append(row)
            detail = f"{_short(row['id'])} through {row['lender']}, good until block {row['last_block']}"
            self._say("ticket", detail)

    def _attempt(self, row: Row) -> None:
        key = (row["execution_id"], row["number"])
        told = (row["delivery"], row["error"])
        self.attempts[key] = row
        if self._told_attempts.get(key) == told:
            return
        self._told_attempts[key] = told
        fees = f"{format_gwei(int(row['max_fee_per_gas']))}, tip {format_gwei(int(row['max_priority_fee_per_gas']))}"
        # The whole text stands in its incident.
        error = f" ({row['error'].partition(':')[0]})" if row["error"] else ""
        self._say(
            "attempt",
            f"{row['kind']} {row['number']} of {_short(row['execution_id'])}, nonce {row['nonce']}, max {fees}:"
            f" {row['delivery']}{error}",
        )

    def _settlement(self, row: Row) -> None:
        # A settlement that was made again (after a reorg) is another one.
        key = f"{row['execution_id']} {row['block_hash']}"
        if key not in self._settled:
            self._settled.add(key)
            agrees = {1: "to the wei", 0: f"NOT: {row['difference']}"}.get(row["reconciled"], "not yet")
            net = format_amount(int(row["net_wei"]), 18, 6)
            self._say(
                "settled",
                f"{_short(row['execution_id'])} in block {row['block']}: net {net} ETH, reconciled {agrees}",
            )

    # ---- what a drill asks

    def statuses(self) -> dict[str, str]:
        """Execution -> the status it was moved to last."""
        return {row["execution_id"]: row["to_status"] for row in self.events}

    def all_final(self) -> bool:
        """There is an execution, and every one is at its end."""
        statuses = self.statuses()
        return bool(statuses) and all(status in _FINAL for status in statuses.values())

    def settled_down(self) -> bool:
        """No execution is open, as far as the store knows."""
        if self._reader is None:
            return False
        return not self._reader.query(
            "SELECT 1 FROM execution WHERE status IN ('prepared', 'submitted') LIMIT 1"
        )

    def tried_again(self) -> bool:
        """An execution has more than one attempt: raised, or cancelled."""
        return any(number > 1 for _, number in self.attempts)

    def incident(self, *words: str) -> bool:
        """An incident whose kind, class or text has one of these words."""
        return any(
            word in f"{row['kind']} {row['error_class']} {row['detail']}".lower()
            for row in self.incidents
            for word in words
        )

    def recovery(self, *classes: str) -> bool:
        """A decision of the recovery system about an error of one of these classes."""
        return any(row["error_class"] in classes for row in self.recoveries)

    def event(self, *words: str) -> bool:
        """A move of an execution whose reason has one of these words."""
        return any(word in row["reason"].lower() for row in self.events for word in words)


def _sentence(identity: str, what: str, reason: str) -> str:
    return f"{_short(identity)} {what}" + (f": {safe_text(reason, _REASON)}" if reason else "")


def _short(identity: str) -> str:
    """The end of an id tells more than its beginning, which is the run's."""
    return identity if len(identity) <= 10 else f"…{identity[-8:]}"
