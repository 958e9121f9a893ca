"""The metrics file's reading side, for the command line, the desk and notebooks. Amounts are decimal text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arbtui.errors import StoreError
from arbtui.store import migrations
from arbtui.store.database import Family, metrics_path
from arbtui.store.driver import mapped, open_reader, sqlite3
from arbtui.store.lock import engine_pid
from arbtui.store.rows import seal

Row = dict[str, Any]
#: Settlements whose seals one look computes anew, of the newest and of the older in turn.
SEALS = 100


def open_store(directory: str | Path, family: Family = "live") -> StoreReader:
    """Open the `live` or `paper` metrics file of a store directory, for reading only.

    Raises StoreError, one line, where it is missing, damaged, locked, or of an older or newer ARBTUI.
    """
    path = metrics_path(Path(directory), family)
    with mapped(path):
        if not path.exists():
            other: Family = "paper" if family == "live" else "live"
            hint = (
                f"there is a {other} one: say --family {other}"
                if metrics_path(Path(directory), other).exists()
                else "start `arbtui run`, or name another store.directory"
            )
            raise StoreError(f"there is no store at {path}; {hint}")
        connection = open_reader(path)
        try:
            migrations.require_known(connection, path, migrations.METRICS, complete=True)
        except BaseException:
            connection.close()
            raise
    return StoreReader(connection, path, family)


class StoreReader:
    """Reads; it cannot write. Every method is one short read, so that it never holds the writer's log.

    Rows are dicts: exact amounts decimal strings in base units (wei where the name says so), flags bool,
    times UTC ISO-8601.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, family: Family) -> None:
        self.path = path
        self.family = family
        self._connection = connection
        self._altered: set[str] = set()
        #: The older settlements' seals are looked at downwards from here; None: none was looked at yet.
        self._seals_from: int | None = None

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Rows of any SELECT, for notebooks; nothing can be changed through it."""
        with mapped(self.path):
            return [dict(row) for row in self._connection.execute(sql, values)]

    def rows_of(self, name: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Every row of a table or view, one by one, as tuples; for export."""
        chosen = ", ".join(f'"{column}"' for column in columns)
        with mapped(self.path):
            for row in self._connection.execute(f'SELECT {chosen} FROM "{name}"'):  # noqa: S608 - names of the schema
                yield tuple(row)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several reads that belong together see one state of the file; keep it short."""
        with mapped(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def data_version(self) -> int:
        """Changes whenever the engine has committed; costs microseconds."""
        return int(self.query("PRAGMA data_version")[0]["data_version"])

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file: nothing, as a rule."""
        found = [str(row["integrity_check"]) for row in self.query("PRAGMA integrity_check(10)")]
        broken = [
            f"foreign key: {row['table']} row {row['rowid']}"
            for row in self.query("PRAGMA foreign_key_check")
        ]
        return [line for line in found if line != "ok"] + broken

    def runs(self) -> list[Row]:
        """Newest first."""
        return self.query("SELECT * FROM run ORDER BY started_at DESC, rowid DESC")

    def runs_within(self, since: str | None = None, until: str | None = None) -> list[Row]:
        """Runs that reach into the time from `since` up to, without, `until`, newest first.

        One that was killed has no end: it reaches as far as its rows do, and the newest while an engine holds the
        store.
        """
        runs = self.runs()
        held = engine_pid(self.path.parent) is not None
        return [
            run
            for place, run in enumerate(runs)
            if (until is None or run["started_at"] < until)
            and (
                since is None
                or str(run["ended_at"] or run["started_at"]) >= since
                or (run["ended_at"] is None and ((held and not place) or self._left_rows(run["id"], since)))
            )
        ]

    def _left_rows(self, run: str, since: str) -> bool:
        (row,) = self.query(
            "SELECT EXISTS (SELECT 1 FROM block WHERE run = ?1 AND timestamp >= unixepoch(?2))"
            " OR EXISTS (SELECT 1 FROM incident WHERE run = ?1 AND at >= ?2)"
            " OR EXISTS (SELECT 1 FROM decision WHERE run = ?1 AND at >= ?2)"
            " OR EXISTS (SELECT 1 FROM ticket WHERE run = ?1 AND created_at >= ?2)"
            " OR EXISTS (SELECT 1 FROM opportunity WHERE run = ?1 AND at >= ?2) AS found",
            (run, since),
        )
        return bool(row["found"])

    def blocks(self, limit: int = 100) -> list[Row]:
        """Newest first; `elapsed_ms` is wall time."""
        return [
            _without_twins(row)
            for row in self.query("SELECT * FROM block ORDER BY rowid DESC LIMIT ?", (limit,))
        ]

    def opportunities(self, limit: int = 100, outcome: str | None = None) -> list[Row]:
        """Newest first; `outcome` 'ticket' or 'dropped', or None for both. With token and path as values."""
        rows = self.query(
            "SELECT * FROM opportunity WHERE ?1 IS NULL OR outcome = ?1 ORDER BY rowid DESC LIMIT ?2",
            (outcome, limit),
        )
        return [_opportunity(row) for row in rows]

    def opportunity(self, opportunity_id: str) -> Row | None:
        """One (its newest run's) with every lender's quote and every check."""
        rows = self.query(
            "SELECT * FROM opportunity WHERE id = ? ORDER BY rowid DESC LIMIT 1", (opportunity_id,)
        )
        if not rows:
            return None
        found = _opportunity(rows[0])
        found["quotes"] = self.quotes(found["run"], opportunity_id)
        found["checks"] = self.checks(opportunity_id)
        found["closing"] = self.closing(found["run"], opportunity_id)
        return found

    def nodes(self) -> list[Row]:
        """The newest run's nodes as its engine saw them last; `refusals` is kind -> answers not believed."""
        rows = self.query(
            "SELECT * FROM node WHERE run = (SELECT id FROM run ORDER BY started_at DESC, rowid DESC LIMIT 1)"
            " ORDER BY rowid"
        )
        for row in rows:
            row["refusals"] = json.loads(row["refusals"])
        return rows

    def closing(self, run: str, opportunity_id: str) -> Row | None:
        """How an opportunity that was open ended; None while it is open, or where a later row of its path says."""
        rows = self.query("SELECT * FROM closing WHERE run = ? AND opportunity_id = ?", (run, opportunity_id))
        return _without_twins(rows[0]) if rows else None

    def closings(self, since: str | None = None, limit: int = 100) -> list[Row]:
        """Newest first: opportunities that ended, who ended them, and what they would have left, with their path."""
        rows = self.query(
            "SELECT c.*, o.path, o.at, o.outcome, o.reason, o.token, o.token_symbol, o.token_decimals"
            " FROM closing AS c JOIN opportunity AS o ON o.run = c.run AND o.id = c.opportunity_id"
            " WHERE ?1 IS NULL OR o.at >= ?1 ORDER BY c.rowid DESC LIMIT ?2",
            (since, limit),
        )
        for row in rows:
            row["path"] = json.loads(row["path"])
            row["token"] = _token(row)
        return [_without_twins(row) for row in rows]

    def quotes(self, run: str, opportunity_id: str) -> list[Row]:
        """Every lender's answer, the chosen first, then the usable by cost; `why_lost` says why not."""
        rows = self.query(
            "SELECT * FROM loan_quote WHERE run = ? AND opportunity_id = ?"
            " ORDER BY chosen DESC, usable DESC, total_cost_real IS NULL, total_cost_real, lender",
            (run, opportunity_id),
        )
        return [_flags(_without_twins(row), "usable", "chosen") for row in rows]

    def checks(self, subject_id: str, phase: str | None = None) -> list[Row]:
        """Checks of an opportunity or a ticket in their order; `limit` and `margin` in `unit`."""
        rows = self.query(
            "SELECT phase, seq, block, name AS 'check', passed, observed, limit_value AS 'limit', margin, unit,"
            " detail FROM check_result WHERE subject_id = ?1 AND (?2 IS NULL OR phase = ?2)"
            " ORDER BY run, phase DESC, seq",
            (subject_id, phase),
        )
        return [_flags(row, "passed") for row in rows]

    def tickets(self, limit: int = 100) -> list[Row]:
        """Newest first, with token and the last decision's kind and reason (None while there is none)."""
        return [_ticket(row) for row in self.query(f"{_TICKETS} ORDER BY t.rowid DESC LIMIT ?", (limit,))]

    def ticket(self, ticket_id: str) -> Row | None:
        """One with quotes, checks, path and decisions."""
        rows = self.query(f"{_TICKETS} WHERE t.id = ?", (ticket_id,))
        if not rows:
            return None
        found = _ticket(rows[0])
        found["quotes"] = self.quotes(found["run"], found["opportunity"])
        found["checks"] = self.checks(ticket_id)
        found["closing"] = self.closing(found["run"], found["opportunity"])
        found["decisions"] = self.query(
            "SELECT * FROM decision WHERE ticket_id = ? ORDER BY id", (ticket_id,)
        )
        opportunity = self.query(
            "SELECT path FROM opportunity WHERE run = ? AND id = ?", (found["run"], found["opportunity"])
        )
        found["path"] = json.loads(opportunity[0]["path"])
        return found

    def decisions(self, limit: int = 1_000) -> list[Row]:
        """Newest first, with the foreign trade that moved the market, where one is to blame."""
        return self.query("SELECT * FROM decision ORDER BY id DESC LIMIT ?", (limit,))

    def incidents(self, limit: int = 100) -> list[Row]:
        """Newest first."""
        return self.query("SELECT * FROM incident ORDER BY id DESC LIMIT ?", (limit,))

    def open_differences(self) -> list[Row]:
        """Differences of balances and settlements that nobody has acknowledged, oldest first. They stop sending."""
        return self.query("SELECT * FROM reconciliation WHERE ok = 0 AND acknowledged_at IS NULL ORDER BY id")

    def unsound(self, settlements: Iterable[Row] | None = None) -> list[Row]:
        """Everything that does not fit, named; report, desk, notebooks and metrics count these.

        Of `settlements` (rows of that method; None: all that stand) those that were altered or contradict their block;
        and every open difference of whatever time, as each stops sending. A settlement and its own difference are
        one. What a person acknowledged fits from then on, but a settlement that contradicts its block never does.
        """
        rows = self._doubtful() if settlements is None else settlements
        opened = self.open_differences()
        own = {
            (str(row["execution_id"]), str(row["to_hash"])): row
            for row in opened
            if row["kind"] == "settlement"
        }
        found: list[Row] = []
        for row in rows:
            # What nobody compared yet is counted apart.
            if row["sealed"] and row["reconciled"] is not False:
                continue
            known = own.pop((str(row["execution_id"]), str(row["block_hash"])), None)
            found.append(
                {
                    "what": "settlement",
                    "execution": row["execution_id"],
                    "reconciliation": known["id"] if known else None,
                    "block": row["block"],
                    "tx_hash": row["tx_hash"],
                    "difference": str(row["difference"])
                    if row["sealed"]
                    else "the row was altered after it was written",
                }
            )
        found += [
            {
                "what": "receipt",
                "execution": row["execution_id"],
                "reconciliation": row["id"],
                "block": row["to_block"],
                "difference": row["difference"],
            }
            for row in own.values()
        ]
        found += [
            {
                "what": "balances",
                "reconciliation": row["id"],
                "from_block": row["from_block"],
                "to_block": row["to_block"],
                "difference": row["difference"],
            }
            for row in opened
            if row["kind"] == "blocks"
        ]
        return found

    def _doubtful(self) -> list[Row]:
        """Settlements that stand and were altered or contradict their block.

        The first look computes every seal; later ones the newest SEALS and as many older ones, in turn.
        """
        last = int(self.query("SELECT coalesce(max(rowid), 0) AS n FROM settlement")[0]["n"])
        newest = max(0, last - SEALS)
        if self._seals_from is None:
            pages = [(0, last)]
            self._seals_from = newest
        else:
            top = self._seals_from if 0 < self._seals_from <= newest else newest
            self._seals_from = max(0, top - SEALS)
            pages = [(newest, last), (self._seals_from, top)]
        for page in pages:
            rows = self._settled("s.rowid > ? AND s.rowid <= ?", page)
            self._altered -= {str(row["execution_id"]) for row in rows}
            self._altered |= _broken(rows)
        differ = self.query("SELECT execution_id FROM settlement WHERE reconciled = 0 ORDER BY rowid")
        names = dict.fromkeys([*(str(row["execution_id"]) for row in differ), *sorted(self._altered)])
        return [row for name in names for row in self._settled("e.id = ?", (name,))]

    def reconciliations(self, limit: int = 100) -> list[Row]:
        """Comparisons of the accounts' balances with the settlements, newest first; quiet blocks share a row."""
        return self.query("SELECT * FROM reconciliation ORDER BY id DESC LIMIT ?", (limit,))

    def balances(self) -> list[Row]:
        """What executor, wallet and treasury held at the newest block that was compared, in base units."""
        rows = self.query(
            "SELECT b.* FROM balance AS b WHERE b.block = (SELECT max(n.block) FROM balance AS n"
            " WHERE n.account = b.account AND n.token = b.token) ORDER BY b.role, b.token_symbol, b.token"
        )
        return [_without_twins(row) for row in rows]

    def funnel(self) -> list[Row]:
        """Per run: blocks, opportunities, dropped, tickets, approved, executions, mined."""
        return self.query("SELECT * FROM v_funnel ORDER BY started_at DESC")

    def executions(self, limit: int | None = None, since: str | None = None) -> list[Row]:
        """Newest first, as `arbtui executions --json` gives them.

        `expected_profit` is in base units of `token`, `net_profit` in wei of the native coin. What no receipt
        has said yet is None, and `reconciled` False. A `filler` only filled a nonce gap, and has no ticket.
        """
        rows = self.query(
            "SELECT * FROM v_execution WHERE ?1 IS NULL OR decided_at >= ?1"
            " ORDER BY decided_at DESC, id DESC LIMIT ?2",
            (since, -1 if limit is None else limit),
        )
        hashes = self._attempt_hashes()
        broken = _broken(self.settlements(since))
        quotes = self._quotes_by_ticket([str(row["ticket_id"]) for row in rows])
        return [_execution(row, hashes, broken, quotes) for row in rows]

    def execution(self, execution_id: str) -> Row | None:
        """One with its quotes and why the others lost, checks, events, attempts, recovery, settlement and deltas."""
        rows = self.query("SELECT * FROM v_execution WHERE id = ?", (execution_id,))
        if not rows:
            return None
        quotes = self._quotes_by_ticket([str(rows[0]["ticket_id"])])
        settled = self.settlements(execution_id=execution_id)
        found = _execution(rows[0], self._attempt_hashes(execution_id), _broken(settled), quotes)
        found["checks"] = self.checks(found["ticket"])
        found["events"] = self.query(
            "SELECT at, block, from_status, to_status, reason FROM execution_event WHERE execution_id = ?"
            " ORDER BY id",
            (execution_id,),
        )
        found["attempts"] = [
            _without_twins(row)
            for row in self.query(
                "SELECT * FROM attempt WHERE execution_id = ? ORDER BY number", (execution_id,)
            )
        ]
        found["recovery"] = self.recoveries(execution_id)
        (final,) = self.query("SELECT final_block FROM execution WHERE id = ?", (execution_id,))
        found["final_block"] = final["final_block"]
        found["settlement"] = settled[0] if settled else None
        return found

    def recoveries(self, execution_id: str) -> list[Row]:
        """What was decided about its failed sends, oldest first; nothing is done before `next_at` and `next_block`."""
        return self.query(
            "SELECT at, block, error_class, phase, action, nonce_rule, reason, tries, next_at, next_block, alarm"
            " FROM recovery_event WHERE execution_id = ? ORDER BY id",
            (execution_id,),
        )

    def settlements(self, since: str | None = None, execution_id: str | None = None) -> list[Row]:
        """Those that stand (their execution is mined, reverted or cancelled), oldest first, with `deltas`.

        `sealed` is False for a row that was altered after it was written. `since` is of the execution's decision.
        """
        return self._settled(
            "(?1 IS NULL OR e.decided_at >= ?1) AND (?2 IS NULL OR e.id = ?2)", (since, execution_id)
        )

    def _settled(self, condition: str, values: Sequence[Any]) -> list[Row]:
        """`settlements` under a condition on settlement `s` and execution `e`."""
        chosen = (
            " FROM settlement AS s JOIN execution AS e ON e.id = s.execution_id"
            f" WHERE e.status IN ('mined', 'reverted', 'cancelled') AND {condition}"
        )
        rows = self.query(
            f"SELECT s.*, e.status, e.lender, e.decided_at, e.mined_at, e.ticket_id{chosen}"
            " ORDER BY e.decided_at, e.id",
            values,
        )
        deltas: dict[str, list[Row]] = {}
        for delta in self.query(
            "SELECT execution_id, account, role, token, token_symbol, token_decimals, amount"  # noqa: S608 - ours
            f" FROM settlement_delta WHERE execution_id IN (SELECT s.execution_id{chosen})"
            " ORDER BY execution_id, seq",
            values,
        ):
            deltas.setdefault(str(delta.pop("execution_id")), []).append(
                {
                    "account": delta["account"],
                    "role": delta["role"],
                    "token": _token(delta),
                    "amount": delta["amount"],
                }
            )
        for row in rows:
            own = deltas.get(row["execution_id"], [])
            row["sealed"] = row.pop("seal") == seal(
                row, ((d["account"], d["token"]["address"], d["amount"]) for d in own)
            )
            row["deltas"] = own
            row["success"] = bool(row["success"])
            row["reconciled"] = None if row["reconciled"] is None else bool(row["reconciled"])
        return [_without_twins(row) for row in rows]

    def _attempt_hashes(self, execution_id: str | None = None) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in self.query(
            "SELECT execution_id, tx_hash FROM attempt WHERE ?1 IS NULL OR execution_id = ?1"
            " ORDER BY execution_id, number",
            (execution_id,),
        ):
            found.setdefault(str(row["execution_id"]), []).append(str(row["tx_hash"]))
        return found

    def _quotes_by_ticket(self, tickets: Iterable[str]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        for ticket in set(tickets):
            for row in self.query("SELECT run, opportunity_id FROM ticket WHERE id = ?", (ticket,)):
                found[ticket] = self.quotes(str(row["run"]), str(row["opportunity_id"]))
        return found


_TICKETS = (
    "SELECT t.*, n.block AS now_block, n.expected_profit AS now_profit, n.expected_gas AS now_gas,"
    " n.expected_net_wei AS now_net_wei, n.seen_at,"
    " o.token, o.token_symbol, o.token_decimals, o.path_id, o.amount_in, o.gross_profit, o.place, o.behind,"
    " (SELECT d.kind FROM decision AS d WHERE d.ticket_id = t.id ORDER BY d.id DESC LIMIT 1) AS decision,"
    " (SELECT d.reason FROM decision AS d WHERE d.ticket_id = t.id ORDER BY d.id DESC LIMIT 1)"
    " AS decision_reason"
    " FROM ticket AS t JOIN opportunity AS o ON o.run = t.run AND o.id = t.opportunity_id"
    " LEFT JOIN ticket_now AS n ON n.ticket_id = t.id"
)


def _broken(settlements: Iterable[Row]) -> set[str]:
    return {str(row["execution_id"]) for row in settlements if not row["sealed"]}


def _without_twins(row: Row) -> Row:
    """The REAL columns are for ordering and pictures in SQL; who reads rows gets the exact ones."""
    return {name: value for name, value in row.items() if not name.endswith("_real")}


def _flags(row: Row, *names: str) -> Row:
    for name in names:
        row[name] = bool(row[name])
    return row


def _token(row: Row) -> Row:
    return {
        "address": row.pop("token"),
        "symbol": row.pop("token_symbol"),
        "decimals": row.pop("token_decimals"),
    }


def _opportunity(row: Row) -> Row:
    row = _without_twins(row)
    row["token"] = _token(row)
    row["path"] = json.loads(row["path"])
    row["rate_pools"] = json.loads(row["rate_pools"]) if row["rate_pools"] else None
    return row


def _ticket(row: Row) -> Row:
    row = _without_twins(row)
    row["token"] = _token(row)
    row["opportunity"] = row.pop("opportunity_id")
    row["ladder"] = json.loads(row["ladder"])
    row["fallback"] = json.loads(row["fallback"]) if row["fallback"] else None
    row["rate_pools"] = json.loads(row["rate_pools"])
    return row


def _execution(row: Row, hashes: dict[str, list[str]], broken: set[str], quotes: dict[str, list[Row]]) -> Row:
    key = str(row["id"])
    return {
        "id": key,
        "ticket": row["ticket_id"],
        "status": row["status"],
        "filler": bool(row["filler"]),
        "lender": row["lender"],
        "tx_hashes": hashes.get(key, []),
        "tx_hash": row["tx_hash"],
        "expected_profit": row["expected_profit"],
        "net_profit": row["net_wei"],
        "token": _token(row),
        "gas_used": row["gas_used"],
        "reconciled": bool(row["reconciled"]) and key not in broken,
        "expected_net_wei": row["expected_net_wei"],
        "gas_cost": row["gas_cost"],
        "l1_fee": row["l1_fee"],
        "loan_fee": row["loan_fee"],
        "strategy": row["strategy"],
        "path_id": row["path_id"],
        "decided_at": row["decided_at"],
        "sent_at": row["sent_at"],
        "mined_at": row["mined_at"],
        "seconds": row["seconds"],
        "mined_block": row["mined_block"],
        "error_class": row["error_class"],
        "reason": row["reason"],
        "run": row["run"],
        "quotes": quotes.get(str(row["ticket_id"]), []),
    }
