"""The metrics file's writing side: what the engine saw, decided and did, one commit per decided block."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from eth_utils.crypto import keccak

from arbtui.domain import (
    Attempt,
    BlockRef,
    CheckResult,
    Closing,
    Decision,
    ExecutionStatus,
    ForeignTrade,
    LenderId,
    LoanQuote,
    Opportunity,
    Settlement,
    Stage,
    Ticket,
    Token,
)
from arbtui.domain.settlement import NATIVE
from arbtui.errors import StoreError
from arbtui.execution.ports import OpenExecution
from arbtui.store import migrations
from arbtui.store.driver import mapped, open_writer, sqlite3, transaction, utc_now
from arbtui.store.rows import fallback_json, ladder_json, path_json, seal, whole
from arbtui.text import redact
from arbtui.units import Address
from arbtui.validation import Ranked

Family = Literal["live", "paper"]
_FALLBACK_NATIVE = Token(NATIVE, "ETH", 18)


def family_of(stage: Stage) -> Family:
    """The metrics file a stage writes to: observe and paper share one, canary and live the other."""
    return "paper" if stage in (Stage.OBSERVE, Stage.PAPER) else "live"


def metrics_path(directory: Path, family: Family) -> Path:
    return Path(directory) / f"{family}.sqlite"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One start of the engine. `approve` is none, mandate or all; `seed` None where nothing was drawn."""

    id: str
    stage: Stage
    approve: str
    chain_id: int
    chain: str
    wallet: Address
    executor: Address
    treasury: Address
    version: str
    config_digest: str
    started_at: str
    seed: int | None = None


class Store:
    """The only writer of a metrics file (the store lock sees to that). Raises StoreError, one line.

    Every row carries the run that is started here and the newest block it has been told of.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, clock: Callable[[], str]) -> None:
        self.path = path
        self._connection = connection
        self._clock = clock
        self._mutex = threading.Lock()
        self._run: str | None = None
        self._head: int | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        family: Family,
        create: bool = True,
        *,
        clock: Callable[[], str] = utc_now,
    ) -> Self:
        """Open `directory/family.sqlite` and bring its schema up to date; make both where `create`."""
        path = metrics_path(directory, family)
        with mapped(path):
            if create:
                Path(directory).mkdir(parents=True, exist_ok=True)
            elif not path.exists():
                raise StoreError(
                    f"there is no store at {path}; start `arbtui run`, or name another store.directory"
                )
            connection = open_writer(path, create=create)
            try:
                migrations.migrate(connection, path, migrations.METRICS)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, clock)

    @property
    def run_id(self) -> str:
        """The run that rows are written under; StoreError before `start_run`."""
        if self._run is None:
            raise StoreError(f"{self.path}: no run has been started")
        return self._run

    def start_run(self, info: RunInfo) -> None:
        with self.batch(_run=info.id) as batch:
            batch._insert(
                "run",
                {
                    "id": info.id,
                    "started_at": info.started_at,
                    "stage": info.stage.value,
                    "approve": info.approve,
                    "chain_id": info.chain_id,
                    "chain": info.chain,
                    "wallet": info.wallet,
                    "executor": info.executor,
                    "treasury": info.treasury,
                    "version": info.version,
                    "config_digest": info.config_digest,
                    "seed": info.seed,
                },
            )
        self._run = info.id

    def end_run(self) -> None:
        with self.batch() as batch:
            batch._execute("UPDATE run SET ended_at = ? WHERE id = ?", (self._clock(), self.run_id))

    def unfinished(self) -> list[str]:
        """Executions that are prepared or submitted here, oldest first.

        The journal may know better: a crash between its commit and this file's leaves them behind.
        """
        return self._ids("SELECT id FROM execution WHERE status IN ('prepared', 'submitted')")

    def unsettled(self) -> list[str]:
        """Executions that landed but whose receipt was never written down, oldest first."""
        return self._ids(
            "SELECT id FROM execution AS e WHERE status IN ('mined', 'reverted', 'cancelled')"
            " AND NOT EXISTS (SELECT 1 FROM settlement AS s WHERE s.execution_id = e.id)"
        )

    def left_behind(self) -> list[tuple[str, bool, bool]]:
        """Tickets of earlier runs that have no end: id, whether a person saw it, whether it was approved.

        Undecided ones, and approved ones of which no execution came: the engine went away in between.
        """
        with self._mutex, mapped(self.path):
            rows = self._connection.execute(
                "SELECT t.id, n.seen_at IS NOT NULL, d.kind IS NOT NULL FROM ticket AS t"
                " LEFT JOIN ticket_now AS n ON n.ticket_id = t.id"
                " LEFT JOIN decision AS d ON d.id = (SELECT max(id) FROM decision WHERE ticket_id = t.id)"
                " WHERE t.run <> ? AND (d.kind IS NULL OR (d.kind LIKE 'approved%'"
                " AND NOT EXISTS (SELECT 1 FROM execution AS e WHERE e.ticket_id = t.id))) ORDER BY t.rowid",
                (self.run_id,),
            ).fetchall()
        return [(str(row[0]), bool(row[1]), bool(row[2])) for row in rows]

    def open_differences(self) -> int:
        """Differences between balances and settlements that nobody has acknowledged."""
        return int(
            self._rows("SELECT count(*) FROM reconciliation WHERE ok = 0 AND acknowledged_at IS NULL")[0][0]
        )

    def is_open(self, number: int) -> bool:
        """Whether a difference of that number waits for a person."""
        return bool(
            self._rows(
                "SELECT 1 FROM reconciliation WHERE id = ? AND ok = 0 AND acknowledged_at IS NULL", (number,)
            )
        )

    def reconciled_through(self) -> tuple[int, str] | None:
        """Number and hash of the newest block that balances were compared at; None before the first."""
        rows = self._rows(
            "SELECT to_block, to_hash FROM reconciliation WHERE kind = 'blocks' ORDER BY id DESC LIMIT 1"
        )
        return (int(rows[0][0]), str(rows[0][1])) if rows else None

    def holdings(self) -> list[tuple[str, str, str]]:
        """Account, token and amount as they were at that block."""
        return [
            (str(row[0]), str(row[1]), str(row[2]))
            for row in self._rows(
                "SELECT b.account, b.token, b.amount FROM balance AS b WHERE b.block = (SELECT max(n.block)"
                " FROM balance AS n WHERE n.account = b.account AND n.token = b.token)"
            )
        ]

    def deltas_between(self, first: int, last: int) -> list[tuple[str, str, str]]:
        """Account, token and amount of every delta that was settled after block `first`, up to `last`."""
        return [
            (str(row[0]), str(row[1]), str(row[2]))
            for row in self._rows(
                "SELECT d.account, d.token, d.amount FROM settlement AS s"
                " JOIN execution AS e ON e.id = s.execution_id"
                " JOIN settlement_delta AS d ON d.execution_id = s.execution_id"
                " WHERE s.block > ? AND s.block <= ? AND e.status IN ('mined', 'reverted', 'cancelled')",
                (first, last),
            )
        ]

    def settlements_between(self, first: int, last: int) -> int:
        """How many settlements that is."""
        return int(
            self._rows(
                "SELECT count(*) FROM settlement AS s JOIN execution AS e ON e.id = s.execution_id"
                " WHERE s.block > ? AND s.block <= ? AND e.status IN ('mined', 'reverted', 'cancelled')",
                (first, last),
            )[0][0]
        )

    def differences_between(self, first: int, last: int) -> list[str]:
        """Amounts, as JSON, of single settlements' differences in these blocks: known already."""
        return [
            str(row[0])
            for row in self._rows(
                "SELECT r.amounts FROM reconciliation AS r JOIN settlement AS s ON s.execution_id = r.execution_id"
                " AND s.block = r.to_block WHERE r.kind = 'settlement' AND r.to_block > ? AND r.to_block <= ?",
                (first, last),
            )
        ]

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._mutex, mapped(self.path):
            return list(self._connection.execute(sql, values).fetchall())

    def commands(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Commands not taken up yet, oldest first: id, kind, argument.

        An argument that is no object is an empty one here: who handles the kind refuses it.
        """
        with self._mutex, mapped(self.path):
            rows = self._connection.execute(
                "SELECT id, kind, argument FROM command WHERE taken_at IS NULL ORDER BY id"
            ).fetchall()
        told = [(int(row[0]), str(row[1]), json.loads(row[2])) for row in rows]
        return [
            (number, kind, argument if isinstance(argument, dict) else {}) for number, kind, argument in told
        ]

    def _ids(self, sql: str) -> list[str]:
        with self._mutex, mapped(self.path):
            return [str(row[0]) for row in self._connection.execute(f"{sql} ORDER BY decided_at, id")]

    @contextmanager
    def batch(self, *, _run: str | None = None) -> Iterator[Batch]:
        """ONE transaction: all that is written in it, or, after any exception, nothing.

        Keep no `await` inside: others wait for it.
        """
        run = _run or self.run_id
        with self._mutex:
            head = self._head
            with mapped(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Batch(self, run)
                with mapped(self.path):
                    self._connection.execute("COMMIT")
            except BaseException:
                self._head = head
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def upkeep(self) -> Iterator[sqlite3.Connection]:
        """ONE transaction for what is no record of a run: see `arbtui.store.upkeep`."""
        with self._mutex, mapped(self.path), transaction(self._connection):
            yield self._connection

    def close(self) -> None:
        with self._mutex:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Batch:
    """What can be written within one transaction of a Store."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run

    # ---- the market and its opportunities

    def block(
        self,
        ref: BlockRef,
        pools: int,
        cycles: int,
        elapsed_ms: float,
        wallet_balance: int | None = None,
        *,
        paying: int | None = None,
        unrecorded: int | None = None,
    ) -> None:
        """A block that was decided on, and the wei the wallet held at it; the rows that follow carry it.

        `paying`: cycles with a gross profit; `unrecorded`: those of them that get no row of their own.
        """
        self._insert(
            "block",
            {
                "run": self._run,
                "number": ref.number,
                "hash": ref.hash,
                "timestamp": ref.timestamp,
                "base_fee_per_gas": whole(ref.base_fee_per_gas),
                "pools": pools,
                "cycles": cycles,
                "elapsed_ms": float(elapsed_ms),
                "wallet_balance": whole(wallet_balance),
                "paying": paying,
                "unrecorded": unrecorded,
            },
            key=("run", "number", "hash"),
        )
        self._store._head = ref.number

    def dropped(
        self,
        opportunity: Opportunity,
        quotes: Sequence[LoanQuote],
        checks: Sequence[CheckResult],
        reason: str,
        *,
        net_wei: int | None = None,
        why_lost: Mapping[LenderId, str] | None = None,
        moved_by: ForeignTrade | None = None,
        ranked: Ranked | None = None,
        place: int | None = None,
    ) -> None:
        """An opportunity that became no ticket; `reason` is the failed check's name.

        `net_wei`: what it would have earned; `moved_by`: the foreign trade that last moved one of its pools.
        One that became a ticket in this run stays one.
        """
        became = self._execute(
            "SELECT 1 FROM opportunity WHERE run = ? AND id = ? AND outcome = 'ticket'",
            (self._run, opportunity.id),
        ).fetchone()
        if not became:
            self._opportunity(opportunity, "dropped", reason, net_wei, moved_by, ranked, place)
            self._quotes(opportunity, quotes, None, why_lost or {})
            self.checks("opportunity", opportunity.id, "ticket", checks, block=opportunity.block.number)

    def node(
        self,
        name: str,
        state: str,
        detail: str,
        *,
        head: int | None,
        lag: int | None,
        latency_ms: float | None,
        calls: int,
        failures: int,
        refusals: Mapping[str, int],
        disagreements: int,
        unknown_blocks: int,
    ) -> None:
        """A node as the engine sees it now; it takes the place of what was told of it before in this run."""
        self._insert(
            "node",
            {
                "run": self._run,
                "name": name,
                "block": self._store._head,
                "at": self._store._clock(),
                "state": state,
                "detail": redact(detail),
                "head": head,
                "lag": lag,
                "latency_ms": latency_ms,
                "calls": calls,
                "failures": failures,
                "refused": sum(refusals.values()),
                "refusals": json.dumps(dict(sorted(refusals.items()))),
                "disagreements": disagreements,
                "unknown_blocks": unknown_blocks,
            },
            key=("run", "name"),
        )

    def closing(self, closing: Closing) -> None:
        """How an opportunity that was open ended; told again (after a reorganisation), the newer word stands."""
        trade = closing.trade
        self._insert(
            "closing",
            {
                "run": self._run,
                "opportunity_id": closing.opportunity_id,
                "path_id": closing.path_id,
                "first_block": closing.first_block,
                "last_block": closing.last_block,
                "closed_block": closing.closed_block,
                "net_wei": whole(closing.net_wei),
                "closed_by": closing.by.value,
                "pool": trade.pool if trade else None,
                "tx": trade.tx_hash if trade else None,
                "tx_index": closing.tx_index,
                "log_index": trade.log_index if trade else None,
                "sender": closing.sender,
                "tip_per_gas": whole(closing.tip_per_gas),
            },
            key=("run", "opportunity_id"),
        )

    def ticket(
        self,
        ticket: Ticket,
        why_lost: Mapping[LenderId, str],
        *,
        created_at: str | None = None,
        ranked: Ranked | None = None,
        place: int | None = None,
    ) -> None:
        """A ticket with its opportunity, every lender's quote and why the others lost, and its checks.

        Told twice, it is written once; raises StoreError if the id stood for another digest.
        """
        known = self._execute("SELECT digest FROM ticket WHERE id = ?", (ticket.id,)).fetchone()
        if known:
            if known[0] != ticket.digest:
                raise StoreError(f"{self._store.path}: ticket {ticket.id} stands for another digest already")
            return
        opportunity = ticket.opportunity
        self._opportunity(opportunity, "ticket", "", ticket.expected_net_wei, ranked=ranked, place=place)
        self._quotes(opportunity, ticket.quotes, ticket.lender, why_lost)
        self._insert(
            "ticket",
            {
                "id": ticket.id,
                "digest": ticket.digest,
                "run": self._run,
                "opportunity_id": opportunity.id,
                "block": ticket.block.number,
                "created_at": created_at or self._store._clock(),
                "lender": ticket.lender.value,
                "strategy": ticket.ladder.strategy,
                "gas_limit": ticket.gas_limit,
                "min_profit": whole(ticket.min_profit),
                "last_block": ticket.last_block,
                "expected_profit": whole(ticket.expected_profit),
                "expected_gas": ticket.expected_gas,
                "expected_net_wei": whole(ticket.expected_net_wei),
                "calldata_hash": "0x" + keccak(ticket.calldata).hex(),
                "calldata": "0x" + ticket.calldata.hex(),
                "rate_numerator": whole(ticket.rate.numerator),
                "rate_denominator": whole(ticket.rate.denominator),
                "rate_pools": json.dumps(list(ticket.rate.pools)),
                "rate_block": ticket.rate.block,
                "ladder": ladder_json(ticket.ladder),
                "worst_cost": whole(ticket.ladder.worst_cost),
                "simulated_block": ticket.simulated_block.number,
                "simulated_hash": ticket.simulated_block.hash,
                "fallback": fallback_json(ticket.fallback),
            },
        )
        self.checks("ticket", ticket.id, "ticket", ticket.checks, block=ticket.block.number)

    def checks(
        self,
        subject_kind: Literal["opportunity", "ticket"],
        subject_id: str,
        phase: Literal["ticket", "send"],
        checks: Iterable[CheckResult],
        *,
        block: int | None = None,
    ) -> None:
        """A subject's checks of one phase, in their order; they take the place of earlier ones."""
        self._execute(
            "DELETE FROM check_result WHERE run = ? AND subject_kind = ? AND subject_id = ? AND phase = ?",
            (self._run, subject_kind, subject_id, phase),
        )
        for seq, check in enumerate(checks):
            self._insert(
                "check_result",
                {
                    "run": self._run,
                    "subject_kind": subject_kind,
                    "subject_id": subject_id,
                    "phase": phase,
                    "seq": seq,
                    "block": self._store._head if block is None else block,
                    "name": check.check,
                    "passed": int(check.passed),
                    "observed": whole(check.observed),
                    "limit_value": whole(check.limit),
                    "margin": whole(check.margin),
                    "unit": check.unit,
                    "detail": redact(check.detail),
                },
            )

    def decision(
        self,
        decision: Decision,
        checks: Sequence[CheckResult] = (),
        moved_by: ForeignTrade | None = None,
        *,
        at: str | None = None,
    ) -> None:
        """What became of a ticket; `checks` are those of the send, `moved_by` the trade that spoilt it."""
        self._insert(
            "decision",
            {
                "run": self._run,
                "ticket_id": decision.ticket_id,
                "kind": decision.kind.value,
                "reason": redact(decision.reason),
                "block": decision.at.number,
                "block_hash": decision.at.hash,
                "at": at or self._store._clock(),
                **_moved_by(moved_by),
            },
        )
        if checks:
            self.checks("ticket", decision.ticket_id, "send", checks, block=decision.at.number)

    def requoted(self, ticket: Ticket, why_lost: Mapping[LenderId, str]) -> None:
        """The quotes that the send was decided on take the place of those the ticket was made with."""
        self._quotes(ticket.opportunity, ticket.quotes, ticket.lender, why_lost)

    def ticket_now(self, ticket: Ticket) -> None:
        """A waiting ticket's newest re-simulation."""
        self._execute(
            "INSERT INTO ticket_now (ticket_id, run, block, expected_profit, expected_gas, expected_net_wei)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (ticket_id) DO UPDATE SET block = excluded.block,"
            " expected_profit = excluded.expected_profit, expected_gas = excluded.expected_gas,"
            " expected_net_wei = excluded.expected_net_wei",
            (
                ticket.id,
                self._run,
                ticket.simulated_block.number,
                whole(ticket.expected_profit),
                ticket.expected_gas,
                whole(ticket.expected_net_wei),
            ),
        )

    def ticket_seen(self, ticket_id: str) -> None:
        """A desk has shown the ticket to a person; only the first time counts."""
        self._execute(
            "UPDATE ticket_now SET seen_at = ? WHERE ticket_id = ? AND seen_at IS NULL",
            (self._store._clock(), ticket_id),
        )

    def command_taken(self, command_id: int, result: str) -> None:
        """A command was taken up, and what came of it."""
        self._execute(
            "UPDATE command SET run = ?, block = ?, taken_at = ?, result = ? WHERE id = ?",
            (self._run, self._store._head, self._store._clock(), redact(result), command_id),
        )

    def command_done(self, kind: str, argument: Mapping[str, Any], result: str) -> None:
        """What the engine did of itself, beside what people asked for."""
        now = self._store._clock()
        self._insert(
            "command",
            {
                "run": self._run,
                "block": self._store._head,
                "at": now,
                "kind": kind,
                "argument": json.dumps(argument),
                "taken_at": now,
                "result": result,
            },
        )

    # ---- executions

    def execution(
        self,
        execution_id: str,
        ticket: Ticket,
        status: ExecutionStatus,
        *,
        decided_at: str | None = None,
        nonce: int | None = None,
        sent_at: str | None = None,
        expected_profit: int | None = None,
        expected_net_wei: int | None = None,
        error_class: str = "",
        reason: str = "",
    ) -> None:
        """A new execution. What is expected is the send's simulation; without one, the ticket's."""
        token = ticket.opportunity.token
        profit = ticket.expected_profit if expected_profit is None else expected_profit
        net = ticket.expected_net_wei if expected_net_wei is None else expected_net_wei
        at = decided_at or self._store._clock()
        self._insert(
            "execution",
            {
                "id": execution_id,
                "run": self._run,
                "block": self._store._head,
                "ticket_id": ticket.id,
                "status": status.value,
                "nonce": nonce,
                "lender": ticket.lender.value,
                "strategy": ticket.ladder.strategy,
                "token": token.address,
                "token_symbol": token.symbol,
                "token_decimals": token.decimals,
                "expected_profit": whole(profit),
                "expected_net_wei": whole(net),
                "decided_at": at,
                "sent_at": sent_at,
                "error_class": error_class,
                "reason": redact(reason),
            },
        )
        self._event(execution_id, "", status.value, reason, at)

    def adopt(self, known: OpenExecution, reason: str = "found in the journal at start") -> None:
        """Write down an execution and attempts that only the journal knows: the crash came in between.

        One that is here already gets the journal's status and the attempts that it lacks.
        """
        execution_id = known.intent.execution_id
        here = self._execute("SELECT status FROM execution WHERE id = ?", (execution_id,)).fetchone()
        if here and here[0] != known.status.value:
            self.execution_moved(
                execution_id,
                ExecutionStatus(here[0]),
                known.status,
                "told by the journal at start",
                nonce=known.nonce,
            )
        if not here:
            ticket = self._execute(
                "SELECT t.lender, t.strategy, o.token, o.token_symbol, o.token_decimals, t.expected_profit,"
                " t.expected_net_wei FROM ticket AS t JOIN opportunity AS o"
                " ON o.run = t.run AND o.id = t.opportunity_id WHERE t.id = ?",
                (known.intent.ticket_id,),
            ).fetchone() or ("unknown", "unknown", "", "?", 0, None, None)
            self._insert(
                "execution",
                {
                    "id": execution_id,
                    "run": self._run,
                    "block": self._store._head,
                    "ticket_id": known.intent.ticket_id,
                    "status": known.status.value,
                    "nonce": known.nonce,
                    "lender": ticket[0],
                    "strategy": ticket[1],
                    "token": ticket[2],
                    "token_symbol": ticket[3],
                    "token_decimals": ticket[4],
                    "expected_profit": ticket[5],
                    "expected_net_wei": ticket[6],
                    "decided_at": known.intent.created_at,
                    "reason": reason,
                },
            )
            self._event(execution_id, "", known.status.value, reason, self._store._clock())
        for attempt in known.attempts:
            self.attempt(attempt)

    def execution_moved(
        self,
        execution_id: str,
        old: ExecutionStatus,
        new: ExecutionStatus,
        reason: str,
        at: str | None = None,
        *,
        nonce: int | None = None,
        sent_at: str | None = None,
        mined_at: str | None = None,
        error_class: str | None = None,
        expected_profit: int | None = None,
        expected_net_wei: int | None = None,
    ) -> None:
        """A move, in the log and in the row; what is None stays as it was.

        `sent_at` and `mined_at` default to `at` on the first move to submitted, and on any to mined, reverted or
        cancelled; back to submitted (a reorg) `mined_at` is taken away, and the settlement counts no more.
        Raises StoreError for an execution that is not here: `adopt` it first.
        """
        at = at or self._store._clock()
        landed = new in (ExecutionStatus.MINED, ExecutionStatus.REVERTED, ExecutionStatus.CANCELLED)
        submitted = new is ExecutionStatus.SUBMITTED
        changed = self._execute(
            "UPDATE execution SET status = ?, reason = ?, nonce = coalesce(?, nonce),"
            " sent_at = coalesce(?, sent_at, ?), mined_at = CASE WHEN ? THEN NULL ELSE coalesce(?, mined_at) END,"
            " error_class = coalesce(?, error_class), expected_profit = coalesce(?, expected_profit),"
            " expected_net_wei = coalesce(?, expected_net_wei) WHERE id = ?",
            (
                new.value,
                redact(reason),
                nonce,
                sent_at,
                at if submitted else None,
                int(submitted),
                mined_at or (at if landed else None),
                error_class,
                whole(expected_profit),
                whole(expected_net_wei),
                execution_id,
            ),
        ).rowcount
        if not changed:
            raise StoreError(f"{self._store.path}: execution {execution_id} is not here")
        self._event(execution_id, old.value, new.value, reason, at)

    def attempt(self, attempt: Attempt) -> None:
        """An attempt as it is now; the signed bytes stay in the journal."""
        self._insert(
            "attempt",
            {
                "execution_id": attempt.execution_id,
                "number": attempt.number,
                "run": self._run,
                "block": self._store._head,
                "kind": attempt.kind.value,
                "nonce": attempt.nonce,
                "tx_hash": attempt.tx_hash,
                "max_fee_per_gas": whole(attempt.max_fee_per_gas),
                "max_priority_fee_per_gas": whole(attempt.max_priority_fee_per_gas),
                "delivery": attempt.delivery.value,
                "error": redact(attempt.error),
                "visibility": attempt.visibility.value,
            },
            key=("execution_id", "number"),
            keep=("run", "block"),
        )

    def finalized(self, execution_id: str, block: int) -> None:
        """The outcome stands since `block`: too deep for a reorganisation."""
        self._execute("UPDATE execution SET final_block = ? WHERE id = ?", (block, execution_id))

    def recovered(
        self,
        execution_id: str,
        *,
        error_class: str,
        phase: str,
        action: str,
        nonce_rule: str,
        reason: str,
        tries: int,
        next_at: str | None = None,
        next_block: int | None = None,
        alarm: bool = False,
    ) -> None:
        """One decision about an error of a send: what is done, why, and not before when."""
        self._insert(
            "recovery_event",
            {
                "run": self._run,
                "block": self._store._head,
                "at": self._store._clock(),
                "execution_id": execution_id,
                "error_class": error_class,
                "phase": phase,
                "action": action,
                "nonce_rule": nonce_rule,
                "reason": redact(reason),
                "tries": tries,
                "next_at": next_at,
                "next_block": next_block,
                "alarm": int(alarm),
            },
        )

    def settlement(
        self, settlement: Settlement, roles: Mapping[Address, str], tokens: Mapping[Address, Token]
    ) -> None:
        """What a receipt says; it takes the place of an earlier one (told again, or mined again).

        `roles`: executor, wallet or treasury for every account in the deltas. `tokens` give symbol and decimals;
        a token that is missing is shown by its address, in base units.
        """
        row: dict[str, Any] = {
            "execution_id": settlement.execution_id,
            "run": self._run,
            "block": settlement.block_number,
            "block_hash": settlement.block_hash,
            "tx_hash": settlement.tx_hash,
            "success": int(settlement.success),
            "gas_used": settlement.gas_used,
            "effective_gas_price": whole(settlement.effective_gas_price),
            "gas_cost": whole(settlement.gas_cost),
            "l1_fee": whole(settlement.l1_fee),
            "loan_fee": whole(settlement.loan_fee),
            "net_wei": whole(settlement.net_wei),
            "reconciled": None if settlement.reconciled is None else int(settlement.reconciled),
            "difference": redact(settlement.difference),
        }
        row["seal"] = seal(row, ((d.account, d.token, str(d.amount)) for d in settlement.deltas))
        self._execute("DELETE FROM settlement_delta WHERE execution_id = ?", (settlement.execution_id,))
        self._insert("settlement", row, key=("execution_id",))
        for seq, delta in enumerate(settlement.deltas):
            token = tokens.get(delta.token) or (
                _FALLBACK_NATIVE if delta.token == NATIVE else Token(delta.token, delta.token, 0)
            )
            self._insert(
                "settlement_delta",
                {
                    "execution_id": settlement.execution_id,
                    "seq": seq,
                    "run": self._run,
                    "block": settlement.block_number,
                    "account": delta.account,
                    "role": roles[delta.account],
                    "token": delta.token,
                    "token_symbol": token.symbol,
                    "token_decimals": token.decimals,
                    "amount": whole(delta.amount),
                },
            )

    def incident(
        self,
        kind: str,
        detail: str,
        *,
        error_class: str = "",
        execution_id: str | None = None,
        at: str | None = None,
        block: int | None = None,
    ) -> None:
        """Something that went wrong: `kind` names what ("send", "reorg", "breaker"), the class if classified."""
        self._insert(
            "incident",
            {
                "run": self._run,
                "block": self._store._head if block is None else block,
                "at": at or self._store._clock(),
                "kind": kind,
                "error_class": error_class,
                "execution_id": execution_id,
                "detail": redact(detail),
            },
        )

    # ---- balances

    def unreconciled(self, settlement: Settlement, amounts: str) -> None:
        """A settlement that contradicts its own block; `amounts` as `arbtui.monitor.reconcile.amounts_json` gives."""
        known = self._execute(
            "SELECT 1 FROM reconciliation WHERE kind = 'settlement' AND execution_id = ? AND to_hash = ?",
            (settlement.execution_id, settlement.block_hash),
        ).fetchone()
        if known:
            return
        self._insert(
            "reconciliation",
            {
                "run": self._run,
                "kind": "settlement",
                "from_block": settlement.block_number - 1,
                "to_block": settlement.block_number,
                "to_hash": settlement.block_hash,
                "execution_id": settlement.execution_id,
                "at": self._store._clock(),
                "settlements": 1,
                "ok": 0,
                "amounts": amounts,
                "difference": redact(settlement.difference),
            },
        )

    def reconciled(
        self,
        start: BlockRef,
        end: BlockRef,
        holdings: Mapping[tuple[Address, Address], int],
        roles: Mapping[Address, str],
        tokens: Mapping[Address, Token],
        *,
        settlements: int = 0,
        amounts: str = "[]",
        difference: str = "",
        accepted: str = "",
    ) -> None:
        """Balances at `end` beside the settlements since `start`; `accepted`: why a difference needs nobody's word.

        Blocks in which nothing happened share a row, which grows.
        """
        at = self._store._clock()
        for (account, token), amount in sorted(holdings.items()):
            known = self._execute(
                "SELECT amount FROM balance WHERE account = ? AND token = ? ORDER BY block DESC LIMIT 1",
                (account, token),
            ).fetchone()
            if known and known[0] == whole(amount):
                continue
            named = tokens.get(token) or Token(token, token, 0)
            self._insert(
                "balance",
                {
                    "account": account,
                    "token": token,
                    "block": end.number,
                    "run": self._run,
                    "at": at,
                    "role": roles[account],
                    "token_symbol": named.symbol,
                    "token_decimals": named.decimals,
                    "amount": whole(amount),
                },
                key=("account", "token", "block"),
            )
        quiet = not settlements and not difference
        newest = self._execute(
            "SELECT id, run, to_block, settlements, ok FROM reconciliation WHERE kind = 'blocks'"
            " ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if (
            quiet
            and newest
            and tuple(newest[1:]) == (self._run, start.number, 0, 1)
            and start.number < end.number
        ):
            self._execute(
                "UPDATE reconciliation SET to_block = ?, to_hash = ?, at = ? WHERE id = ?",
                (end.number, end.hash, at, newest[0]),
            )
            return
        self._insert(
            "reconciliation",
            {
                "run": self._run,
                "kind": "blocks",
                "from_block": start.number,
                "to_block": end.number,
                "to_hash": end.hash,
                "at": at,
                "settlements": settlements,
                "ok": int(not difference),
                "amounts": amounts,
                "difference": redact(difference),
                "acknowledged_at": at if accepted else None,
                "acknowledged_by": "policy" if accepted else "",
                "reason": accepted,
            },
        )

    def acknowledged(self, number: int, by: str, reason: str) -> None:
        """A person has looked at a difference and said why it is all right; the first word stands."""
        self._execute(
            "UPDATE reconciliation SET acknowledged_at = ?, acknowledged_by = ?, reason = ?"
            " WHERE id = ? AND ok = 0 AND acknowledged_at IS NULL",
            (self._store._clock(), by, redact(reason), number),
        )

    # ---- within

    def _opportunity(
        self,
        opportunity: Opportunity,
        outcome: str,
        reason: str,
        net_wei: int | None,
        moved_by: ForeignTrade | None = None,
        ranked: Ranked | None = None,
        place: int | None = None,
    ) -> None:
        rate = ranked.rate if ranked else None
        self._insert(
            "opportunity",
            {
                "run": self._run,
                "id": opportunity.id,
                "block": opportunity.block.number,
                "block_hash": opportunity.block.hash,
                "at": self._store._clock(),
                "path_id": opportunity.path.id,
                "path": path_json(opportunity),
                "token": opportunity.token.address,
                "token_symbol": opportunity.token.symbol,
                "token_decimals": opportunity.token.decimals,
                "amount_in": whole(opportunity.amount_in),
                "amount_out": whole(opportunity.amount_out),
                "gross_profit": whole(opportunity.gross_profit),
                "outcome": outcome,
                "reason": reason,
                "net_wei": whole(net_wei),
                **_moved_by(moved_by),
                "place": place,
                "behind": ranked.behind if ranked else None,
                "rate_numerator": whole(rate.numerator) if rate else None,
                "rate_denominator": whole(rate.denominator) if rate else None,
                "rate_pools": json.dumps(list(rate.pools)) if rate else None,
            },
            key=("run", "id"),
        )

    def _quotes(
        self,
        opportunity: Opportunity,
        quotes: Sequence[LoanQuote],
        chosen: LenderId | None,
        why_lost: Mapping[LenderId, str],
    ) -> None:
        for quote in quotes:
            self._insert(
                "loan_quote",
                {
                    "run": self._run,
                    "opportunity_id": opportunity.id,
                    "lender": quote.lender.value,
                    "protocol": quote.protocol,
                    "version": quote.version,
                    "token": quote.token.address,
                    "amount": whole(quote.amount),
                    "block": quote.block,
                    "usable": int(quote.usable),
                    "reason": quote.reason,
                    "detail": redact(quote.detail),
                    "available": whole(quote.available),
                    "fee": whole(quote.fee),
                    "gas_overhead": quote.gas_overhead,
                    "gas_overhead_source": quote.gas_overhead_source,
                    "gas_cost": whole(quote.gas_cost),
                    "total_cost": whole(quote.total_cost),
                    "chosen": int(quote.lender == chosen),
                    "why_lost": why_lost.get(quote.lender, ""),
                },
                key=("run", "opportunity_id", "lender"),
            )

    def _event(self, execution_id: str, old: str, new: str, reason: str, at: str) -> None:
        self._insert(
            "execution_event",
            {
                "execution_id": execution_id,
                "run": self._run,
                "block": self._store._head,
                "at": at,
                "from_status": old,
                "to_status": new,
                "reason": redact(reason),
            },
        )

    def _execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        with mapped(self._store.path):
            return self._store._connection.execute(sql, values)

    def _insert(
        self,
        table: str,
        row: Mapping[str, Any],
        key: Sequence[str] = (),
        keep: Sequence[str] = (),
    ) -> None:
        """Insert; where a row has the same `key`, update it, but for the columns to `keep`."""
        columns = ", ".join(row)
        sql = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608
        if key:
            changes = ", ".join(
                f"{name} = excluded.{name}" for name in row if name not in key and name not in keep
            )
            sql += f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"
        self._execute(sql, tuple(row.values()))


def _moved_by(trade: ForeignTrade | None) -> dict[str, Any]:
    return {
        "moved_by_block": trade.block_number if trade else None,
        "moved_by_pool": trade.pool if trade else None,
        "moved_by_tx": trade.tx_hash if trade else None,
        "moved_by_log_index": trade.log_index if trade else None,
    }
