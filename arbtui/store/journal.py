"""The journal: what must survive a crash, in a file and on a connection of its own, append-only.

SQLite before 3.51.3 can lose commits in WAL mode where two connections race a reset; so no other connection
ever opens this file while an engine runs. Nothing is kept in memory: what is answered is what is on disk.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arbtui.domain import (
    FINAL_STATUSES,
    Attempt,
    AttemptKind,
    Delivery,
    ExecutionStatus,
    Visibility,
    may_move,
)
from arbtui.errors import StoreError
from arbtui.execution.ports import Intent, OpenExecution, Plan, PlannedStep, Sighting
from arbtui.store import migrations
from arbtui.store.driver import mapped, open_writer, refuse_non_file, transaction, utc_now
from arbtui.text import redact
from arbtui.units import Address, Wei, parse_address

FILE_NAME = "journal.sqlite"

#: How much a delivery says. What says less never takes the place of what says more: a node that once had the
#: bytes may still have them, whatever another node says afterwards.
_WEIGHT: dict[Delivery, int] = {
    Delivery.UNSENT: 0,
    Delivery.NOT_DELIVERED: 1,
    Delivery.REJECTED: 2,
    Delivery.AMBIGUOUS: 3,
    Delivery.DELIVERED: 4,
}

_CUT = (
    "it was cut or replaced; nothing was changed: restore a back-up, or move what is left away once no"
    " transaction of this wallet is in flight"
)


class SqliteJournal:
    """`execution.ports.Journal` in `directory/journal.sqlite`; every method returns after its commit is synced.

    Raises StoreError, one line, for a file that is damaged, of another chain, wallet or genesis (the hash of
    block 0, where given), or of a newer ARBTUI; and for whatever the protocol forbids. Nothing is ever deleted.
    """

    def __init__(
        self,
        directory: Path,
        chain_id: int,
        wallet: Address,
        *,
        genesis: str = "",
        clock: Callable[[], str] = utc_now,
    ) -> None:
        self.path = Path(directory) / FILE_NAME
        self.chain_id = chain_id
        self.wallet = wallet
        self._clock = clock
        self._mutex = threading.Lock()
        with mapped(self.path):
            Path(directory).mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                log = self.path.with_name(FILE_NAME + "-wal")
                if log.exists() and log.stat().st_size:
                    # SQLite would replay the lost file's log into the new one.
                    raise StoreError(f"{self.path} is missing but its log {log.name} is there: {_CUT}")
                self._create(genesis)
            refuse_non_file(self.path)
            if self.path.stat().st_size == 0:
                raise StoreError(f"{self.path} is empty: {_CUT}")
            # Signed transactions are bearer instruments; SQLite gives -wal and -shm the same mode.
            self.path.chmod(0o600)
            self._connection = open_writer(self.path, create=False)
            try:
                self._examine(genesis)
            except BaseException:
                self._connection.close()
                raise

    def _create(self, genesis: str) -> None:
        """Under another name first: a journal that is found in its place is always a whole one."""
        draft = self.path.with_name(FILE_NAME + ".new")
        for leftover in (draft, *(draft.with_name(draft.name + end) for end in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(open_writer(draft)) as connection:
            migrations.migrate(connection, self.path, migrations.JOURNAL)
            connection.execute(
                "INSERT INTO identity (one, chain_id, wallet, genesis) VALUES (1, ?, ?, ?)",
                (self.chain_id, self.wallet, genesis),
            )
        draft.rename(self.path)
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _examine(self, genesis: str) -> None:
        verdict = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise StoreError(
                f"{self.path} is damaged ({verdict.splitlines()[0][:80]}); nothing was changed: keep a copy,"
                " restore a back-up or choose another store.directory"
            )
        migrations.migrate(self._connection, self.path, migrations.JOURNAL)
        row = self._connection.execute("SELECT chain_id, wallet, genesis FROM identity").fetchone()
        if row is None:
            raise StoreError(f"{self.path} does not say which chain it is of; choose another store.directory")
        if (int(row[0]), parse_address(str(row[1]))) != (self.chain_id, self.wallet):
            raise StoreError(
                f"{self.path} belongs to wallet {row[1]} on chain {row[0]}, not to {self.wallet} on chain"
                f" {self.chain_id}; choose another store.directory"
            )
        if genesis and row[2] and genesis != row[2]:
            raise StoreError(
                f"{self.path} belongs to another chain with id {self.chain_id} (block 0 is {str(row[2])[:18]}…,"
                f" not {genesis[:18]}…); choose another store.directory"
            )

    def close(self) -> None:
        with self._mutex:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- writing

    def intend(self, intent: Intent) -> None:
        """Raises StoreError if the key, or the execution, was intended before, or for another chain or wallet."""
        if (intent.chain_id, intent.wallet) != (self.chain_id, self.wallet):
            raise StoreError(
                f"{self.path} is of {self.wallet} on chain {self.chain_id}: it takes no intent for"
                f" {intent.wallet} on chain {intent.chain_id}"
            )
        with self._writing():
            used = self._connection.execute(
                "SELECT execution_id FROM record WHERE kind = 'intent' AND (idempotency_key = ? OR execution_id = ?)",
                (intent.key, intent.execution_id),
            ).fetchone()
            if used:
                raise StoreError(
                    f"{self.path}: {intent.key} was intended before, as execution {used[0]}; it is not sent twice"
                )
            self._append(
                intent.execution_id,
                "intent",
                {
                    "key": intent.key,
                    "ticket_id": intent.ticket_id,
                    "chain_id": intent.chain_id,
                    "wallet": intent.wallet,
                    "last_block": intent.last_block,
                    "created_at": intent.created_at,
                    "plan": None if intent.plan is None else _plan_told(intent.plan),
                },
                idempotency_key=intent.key,
                status=ExecutionStatus.PREPARED.value,
            )

    def reserve(self, attempt: Attempt) -> None:
        """Nonce, hash, fees and signed bytes in one commit, before the bytes leave.

        Raises StoreError where another unreleased execution holds the nonce, where this one has another nonce,
        has released its own or has this number already, and for a trade once the execution is final.
        """
        with self._writing():
            known = self._require(attempt.execution_id)
            if self._released(attempt.execution_id):
                raise self._refusal(attempt.execution_id, "has released its nonce and signs nothing more")
            if known.nonce is not None and known.nonce != attempt.nonce:
                raise self._refusal(
                    attempt.execution_id, f"has nonce {known.nonce}, never {attempt.nonce} too"
                )
            if any(known_attempt.number == attempt.number for known_attempt in known.attempts):
                raise self._refusal(attempt.execution_id, f"has an attempt {attempt.number} already")
            if known.status in FINAL_STATUSES and attempt.kind is AttemptKind.TRADE:
                raise self._refusal(
                    attempt.execution_id, f"is {known.status.value}: no trade is signed for it"
                )
            holder = self._connection.execute(
                "SELECT execution_id FROM record AS r WHERE kind = 'reserve' AND nonce = ? AND execution_id <> ?"
                " AND NOT EXISTS (SELECT 1 FROM record AS f WHERE f.kind = 'release'"
                " AND f.execution_id = r.execution_id)",
                (attempt.nonce, attempt.execution_id),
            ).fetchone()
            if holder:
                raise self._refusal(
                    attempt.execution_id,
                    f"may not have nonce {attempt.nonce}: execution {holder[0]} holds it",
                )
            self._append(
                attempt.execution_id,
                "reserve",
                {
                    "kind": attempt.kind.value,
                    "tx_hash": attempt.tx_hash,
                    "raw": "0x" + attempt.raw.hex(),
                    "max_fee_per_gas": str(attempt.max_fee_per_gas),
                    "max_priority_fee_per_gas": str(attempt.max_priority_fee_per_gas),
                    "delivery": attempt.delivery.value,
                    "error": redact(attempt.error),
                    "visibility": attempt.visibility.value,
                },
                number=attempt.number,
                nonce=attempt.nonce,
            )

    def outcome(self, execution_id: str, number: int, delivery: Delivery, error: str) -> None:
        """What one send told. Of several, the one that says most stands (delivered, then ambiguous, …).

        UNSENT says that the same bytes are about to leave again: until the next outcome nobody knows whether they did.
        """
        with self._writing():
            known = self._require(execution_id)
            if not any(attempt.number == number for attempt in known.attempts):
                raise self._refusal(execution_id, f"has no attempt {number}")
            self._append(
                execution_id,
                "outcome",
                {"delivery": delivery.value, "error": redact(error)},
                number=number,
            )

    def seen(self, execution_id: str, sighting: Sighting) -> None:
        """Told twice in a row, it is written once."""
        with self._writing():
            known = self._require(execution_id)
            if known.sightings and known.sightings[-1] == sighting:
                return
            self._append(
                execution_id,
                "seen",
                {
                    "tx_hash": sighting.tx_hash,
                    "block_number": sighting.block_number,
                    "block_hash": sighting.block_hash,
                    "success": sighting.success,
                },
            )

    def move(self, execution_id: str, status: ExecutionStatus, reason: str) -> None:
        """Raises StoreError for a move that domain.ALLOWED_MOVES does not have."""
        with self._writing():
            known = self._require(execution_id)
            if not may_move(known.status, status):
                raise self._refusal(execution_id, f"cannot go from {known.status.value} to {status.value}")
            self._append(execution_id, "move", {"reason": redact(reason)}, status=status.value)

    def release(self, execution_id: str, reason: str) -> None:
        """The nonce was certainly never used: another execution may have it. Released twice is released once.

        Raises StoreError where a node had, or may have had, the bytes. What only a private relay had holds no nonce
        once its last block has passed, which is for the caller to know (rule PO-1). An UNSENT attempt is taken at the
        caller's word: after a crash it means "nobody knows", and is for the caller to find out first.
        """
        with self._writing():
            known = self._require(execution_id)
            doubtful = [
                attempt.number
                for attempt in known.attempts
                if attempt.delivery in (Delivery.DELIVERED, Delivery.AMBIGUOUS)
                and attempt.visibility is Visibility.PUBLIC
            ]
            if doubtful or known.sightings:
                raise self._refusal(
                    execution_id, "cannot release its nonce: a node had, or may have had, its transaction"
                )
            if not self._released(execution_id):
                self._append(execution_id, "release", {"reason": redact(reason)})

    def finish(self, execution_id: str, block_number: int) -> None:
        """The outcome stands since that block. Told twice, it is written once."""
        with self._writing():
            known = self._require(execution_id)
            if known.status not in FINAL_STATUSES:
                raise self._refusal(
                    execution_id, f"is {known.status.value}: it has no outcome that could stand"
                )
            self._connection.execute(
                "INSERT OR IGNORE INTO finality (execution_id, at, block_number) VALUES (?, ?, ?)",
                (execution_id, self._clock(), block_number),
            )

    def stop(self, reason: str, execution_id: str) -> None:
        """Nothing more is signed for this account until somebody acknowledges."""
        self._account("stopped", execution_id, reason)

    def acknowledge(self, by: str) -> None:
        """A person has looked; see `stop`."""
        self._account("acknowledged", "", by)

    def _account(self, kind: str, execution_id: str, reason: str) -> None:
        with self._writing():
            self._connection.execute(
                "INSERT INTO account_event (at, kind, execution_id, reason) VALUES (?, ?, ?, ?)",
                (self._clock(), kind, execution_id, redact(reason)),
            )

    # ---- reading

    def stopped(self) -> str | None:
        """Why the account is stopped; None where it is not."""
        with self._mutex, mapped(self.path):
            row = self._connection.execute(
                "SELECT kind, reason FROM account_event ORDER BY seq DESC LIMIT 1"
            ).fetchone()
        return str(row[1]) if row is not None and row[0] == "stopped" else None

    def unfinished(self) -> list[OpenExecution]:
        """Those that used a nonce, have an end, and are not known to stand for good; oldest first."""
        with self._mutex, mapped(self.path):
            rows = self._connection.execute(
                "SELECT DISTINCT r.execution_id FROM record AS r WHERE r.kind = 'reserve'"
                " AND NOT EXISTS (SELECT 1 FROM finality AS f WHERE f.execution_id = r.execution_id)"
                " AND NOT EXISTS (SELECT 1 FROM record AS l WHERE l.kind = 'release'"
                " AND l.execution_id = r.execution_id) ORDER BY r.nonce"
            ).fetchall()
            known = [self._require(str(row[0])) for row in rows]
        return [execution for execution in known if execution.status in FINAL_STATUSES]

    def open_executions(self) -> list[OpenExecution]:
        """Those that are not final, oldest first."""
        with self._mutex, mapped(self.path):
            rows = self._connection.execute(
                "SELECT execution_id, status, max(seq) FROM record WHERE status IS NOT NULL GROUP BY execution_id"
            ).fetchall()
            still = {str(row[0]) for row in rows if ExecutionStatus(row[1]) not in FINAL_STATUSES}
            order = self._connection.execute(
                "SELECT execution_id FROM record WHERE kind = 'intent' ORDER BY seq"
            ).fetchall()
            return [self._require(str(row[0])) for row in order if str(row[0]) in still]

    def latest_executions(self, count: int = 20) -> list[OpenExecution]:
        """The last ones intended, final or not, oldest first: what the metrics file may have missed in a crash."""
        with self._mutex, mapped(self.path):
            rows = self._connection.execute(
                "SELECT execution_id FROM record WHERE kind = 'intent' ORDER BY seq DESC LIMIT ?", (count,)
            ).fetchall()
            return [self._require(str(row[0])) for row in reversed(rows)]

    def execution(self, execution_id: str) -> OpenExecution | None:
        """All that is known of one execution, final or not."""
        with self._mutex, mapped(self.path):
            return self._fold(execution_id)

    def highest_nonce(self, chain_id: int, wallet: Address) -> int | None:
        """Highest nonce reserved and not released, or None. Raises StoreError for another chain or wallet."""
        if (chain_id, wallet) != (self.chain_id, self.wallet):
            raise StoreError(f"{self.path} is of {self.wallet} on chain {self.chain_id}: ask its own journal")
        with self._mutex, mapped(self.path):
            row = self._connection.execute(
                "SELECT max(nonce) FROM record AS r WHERE kind = 'reserve' AND NOT EXISTS"
                " (SELECT 1 FROM record AS f WHERE f.kind = 'release' AND f.execution_id = r.execution_id)"
            ).fetchone()
            return None if row[0] is None else int(row[0])

    # ---- within

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._mutex, mapped(self.path), transaction(self._connection):
            yield

    def _append(
        self,
        execution_id: str,
        kind: str,
        payload: dict[str, Any],
        *,
        idempotency_key: str | None = None,
        number: int | None = None,
        nonce: int | None = None,
        status: str | None = None,
    ) -> None:
        self._connection.execute(
            "INSERT INTO record (at, execution_id, kind, payload, idempotency_key, number, nonce, status)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._clock(),
                execution_id,
                kind,
                json.dumps(payload, separators=(",", ":")),
                idempotency_key,
                number,
                nonce,
                status,
            ),
        )

    def _refusal(self, execution_id: str, why: str) -> StoreError:
        return StoreError(f"{self.path}: execution {execution_id} {why}")

    def _require(self, execution_id: str) -> OpenExecution:
        known = self._fold(execution_id)
        if known is None:
            raise self._refusal(execution_id, "was never intended")
        return known

    def _released(self, execution_id: str) -> bool:
        return bool(
            self._connection.execute(
                "SELECT 1 FROM record WHERE kind = 'release' AND execution_id = ?", (execution_id,)
            ).fetchone()
        )

    def _fold(self, execution_id: str) -> OpenExecution | None:
        """The execution as its records tell it, in their order."""
        intent: Intent | None = None
        status = ExecutionStatus.PREPARED
        attempts: dict[int, Attempt] = {}
        leaving: set[int] = set()
        sightings: list[Sighting] = []
        for kind, text, number, nonce, moved_to in self._connection.execute(
            "SELECT kind, payload, number, nonce, status FROM record WHERE execution_id = ? ORDER BY seq",
            (execution_id,),
        ):
            payload: dict[str, Any] = json.loads(text)
            if kind == "intent":
                intent = _intent(execution_id, payload)
            elif kind == "reserve":
                attempts[number] = _attempt(execution_id, number, nonce, payload)
            elif kind == "outcome":
                delivery = Delivery(payload["delivery"])
                if delivery is Delivery.UNSENT:
                    leaving.add(number)
                    continue
                leaving.discard(number)
                if _WEIGHT[delivery] >= _WEIGHT[attempts[number].delivery]:
                    attempts[number] = replace(attempts[number], delivery=delivery, error=payload["error"])
            elif kind == "seen":
                sightings.append(Sighting(**payload))
            if moved_to is not None:
                status = ExecutionStatus(moved_to)
        if intent is None:
            return None
        for number in leaving:
            if _WEIGHT[attempts[number].delivery] < _WEIGHT[Delivery.AMBIGUOUS]:
                attempts[number] = replace(attempts[number], delivery=Delivery.UNSENT)
        return OpenExecution(intent, status, tuple(attempts.values()), tuple(sightings))


def _intent(execution_id: str, payload: dict[str, Any]) -> Intent:
    return Intent(
        execution_id=execution_id,
        key=payload["key"],
        ticket_id=payload["ticket_id"],
        chain_id=payload["chain_id"],
        wallet=parse_address(payload["wallet"]),
        last_block=payload["last_block"],
        created_at=payload["created_at"],
        plan=None if payload.get("plan") is None else _plan_read(payload["plan"]),
    )


def _plan_told(plan: Plan) -> dict[str, Any]:
    return {
        "to": plan.to,
        "data": "0x" + plan.data.hex(),
        "gas": plan.gas,
        "steps": [
            [str(step.max_fee_per_gas), str(step.max_priority_fee_per_gas), step.after_s]
            for step in plan.steps
        ],
        "worst_cost": str(plan.worst_cost),
        "valid_s": plan.valid_s,
        "visibility": plan.visibility.value,
        "pools": list(plan.pools),
    }


def _plan_read(told: dict[str, Any]) -> Plan:
    return Plan(
        to=parse_address(told["to"]),
        data=bytes.fromhex(told["data"][2:]),
        gas=int(told["gas"]),
        steps=tuple(
            PlannedStep(Wei(int(cap)), Wei(int(tip)), float(after)) for cap, tip, after in told["steps"]
        ),
        worst_cost=Wei(int(told["worst_cost"])),
        valid_s=float(told["valid_s"]),
        visibility=Visibility(told["visibility"]),
        pools=tuple(parse_address(pool) for pool in told["pools"]),
    )


def _attempt(execution_id: str, number: int, nonce: int, payload: dict[str, Any]) -> Attempt:
    return Attempt(
        execution_id=execution_id,
        number=number,
        kind=AttemptKind(payload["kind"]),
        nonce=nonce,
        tx_hash=payload["tx_hash"],
        raw=bytes.fromhex(payload["raw"][2:]),
        max_fee_per_gas=Wei(int(payload["max_fee_per_gas"])),
        max_priority_fee_per_gas=Wei(int(payload["max_priority_fee_per_gas"])),
        delivery=Delivery(payload["delivery"]),
        error=payload["error"],
        visibility=Visibility(payload.get("visibility", "public")),
    )
