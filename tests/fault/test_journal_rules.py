"""What the journal refuses, and what it keeps; no crash here."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arbtui.domain import FINAL_STATUSES, Attempt, AttemptKind, Delivery, ExecutionStatus, may_move
from arbtui.errors import StoreError
from arbtui.execution.ports import Journal, OpenExecution, Sighting
from arbtui.store import SqliteJournal
from arbtui.store.driver import sqlite3
from tests import factories as make
from tests.conftest import PROFILE

S = ExecutionStatus


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, clock=make.Ticking(1)) as opened:
        yield opened


def reopened(journal: SqliteJournal) -> SqliteJournal:
    journal.close()
    return SqliteJournal(journal.path.parent, make.CHAIN_ID, make.WALLET)


def test_it_is_the_port(journal: SqliteJournal) -> None:
    port: Journal = journal
    assert port.open_executions() == []
    assert port.highest_nonce(make.CHAIN_ID, make.WALLET) is None


def test_what_was_written_is_read_again(journal: SqliteJournal) -> None:
    sighting = Sighting(make.attempt().tx_hash, make.HEAD, make.block_ref().hash, True)
    big = replace(make.attempt(), max_fee_per_gas=2**100)
    journal.intend(make.intent())
    journal.reserve(big)
    journal.outcome("e1", 1, Delivery.AMBIGUOUS, "timeout at https://rpc.example/secret-key")
    journal.move("e1", S.SUBMITTED, "sent")
    journal.seen("e1", sighting)
    journal.seen("e1", sighting)
    expected = OpenExecution(
        make.intent(),
        S.SUBMITTED,
        (replace(big, delivery=Delivery.AMBIGUOUS, error="timeout at https://rpc.example/…"),),
        (sighting,),
    )
    assert journal.execution("e1") == expected
    with reopened(journal) as again:
        assert again.open_executions() == [expected]
        assert again.latest_executions() == [expected]
        assert again.execution("e1") == expected
        assert again.execution("nobody") is None
        assert again.highest_nonce(make.CHAIN_ID, make.WALLET) == 41


def test_a_key_is_intended_once_ever(journal: SqliteJournal) -> None:
    journal.intend(make.intent("e1", key="k"))
    journal.move("e1", S.REJECTED, "refused")
    for again in (make.intent("e2", key="k"), make.intent("e1", key="k2")):
        with pytest.raises(StoreError, match="intended before"):
            journal.intend(again)
    with reopened(journal) as later, pytest.raises(StoreError, match="intended before"):
        later.intend(make.intent("e2", key="k"))


def test_a_nonce_is_held_until_released(journal: SqliteJournal) -> None:
    for name in ("e1", "e2"):
        journal.intend(make.intent(name))
    journal.reserve(make.attempt("e1", nonce=41))
    with pytest.raises(StoreError, match="execution e1 holds it"):
        journal.reserve(make.attempt("e2", nonce=41))
    journal.outcome("e1", 1, Delivery.REJECTED, "insufficient funds")
    journal.release("e1", "never left")
    journal.release("e1", "told again at start")
    assert journal.highest_nonce(make.CHAIN_ID, make.WALLET) is None
    journal.reserve(make.attempt("e2", nonce=41))
    assert journal.highest_nonce(make.CHAIN_ID, make.WALLET) == 41
    with pytest.raises(StoreError, match="released its nonce"):
        journal.reserve(make.attempt("e1", number=2, nonce=42))


def test_a_final_execution_that_used_its_nonce_keeps_it(journal: SqliteJournal) -> None:
    journal.intend(make.intent("e1"))
    journal.reserve(make.attempt("e1"))
    journal.move("e1", S.MINED, "receipt")
    journal.intend(make.intent("e2"))
    with pytest.raises(StoreError, match="execution e1 holds it"):
        journal.reserve(make.attempt("e2"))


def test_the_file_itself_refuses_a_second_holder_of_a_nonce(journal: SqliteJournal) -> None:
    journal.intend(make.intent("e1"))
    journal.reserve(make.attempt("e1"))
    with pytest.raises(sqlite3.IntegrityError, match="held by another execution"):
        journal._append("e2", "reserve", {}, number=1, nonce=41)


def test_an_execution_has_one_nonce(journal: SqliteJournal) -> None:
    journal.intend(make.intent())
    journal.reserve(make.attempt(nonce=41))
    with pytest.raises(StoreError, match="has nonce 41, never 42 too"):
        journal.reserve(make.attempt(number=2, nonce=42))
    with pytest.raises(StoreError, match="attempt 1 already"):
        journal.reserve(make.attempt(number=1, nonce=41))
    journal.reserve(make.attempt(number=2, nonce=41, kind=AttemptKind.CANCEL))


@pytest.mark.parametrize("delivery", [Delivery.DELIVERED, Delivery.AMBIGUOUS])
def test_a_nonce_that_may_be_used_is_not_released(journal: SqliteJournal, delivery: Delivery) -> None:
    journal.intend(make.intent())
    journal.reserve(make.attempt())
    journal.outcome("e1", 1, delivery, "")
    with pytest.raises(StoreError, match="cannot release"):
        journal.release("e1", "hope")


def test_a_nonce_seen_on_chain_is_not_released(journal: SqliteJournal) -> None:
    journal.intend(make.intent())
    journal.reserve(make.attempt())
    journal.seen("e1", Sighting(make.attempt().tx_hash, 1, make.word("b"), True))
    with pytest.raises(StoreError, match="cannot release"):
        journal.release("e1", "hope")


@pytest.mark.parametrize("final", [S.MINED, S.REJECTED, S.CANCELLED])
def test_no_trade_is_signed_for_what_is_final(journal: SqliteJournal, final: S) -> None:
    journal.intend(make.intent())
    journal.move("e1", final, "x")
    assert journal.open_executions() == []
    with pytest.raises(StoreError, match=f"is {final.value}"):
        journal.reserve(make.attempt())


def test_a_reorg_opens_an_execution_again(journal: SqliteJournal) -> None:
    journal.intend(make.intent())
    journal.move("e1", S.MINED, "receipt")
    journal.move("e1", S.SUBMITTED, "reorg")
    assert [known.status for known in journal.open_executions()] == [S.SUBMITTED]


@pytest.mark.parametrize("old", [status for status in S if status is not S.PAPER])
def test_only_the_allowed_moves(journal: SqliteJournal, old: S) -> None:
    for new in S:
        name = new.value
        journal.intend(make.intent(name))
        if old is not S.PREPARED:
            journal.move(name, old, "there")
        if may_move(old, new):
            journal.move(name, new, "on")
        else:
            with pytest.raises(StoreError, match=f"cannot go from {old.value} to {new.value}"):
                journal.move(name, new, "on")
        known = journal.execution(name)
        assert known is not None
        assert known.status is (new if may_move(old, new) else old)


@pytest.mark.parametrize(
    "act",
    [
        lambda j: j.reserve(make.attempt("e9")),
        lambda j: j.outcome("e9", 1, Delivery.DELIVERED, ""),
        lambda j: j.seen("e9", Sighting("0x", 1, "0x", True)),
        lambda j: j.move("e9", S.SUBMITTED, ""),
        lambda j: j.release("e9", ""),
        lambda j: j.outcome("e1", 7, Delivery.DELIVERED, ""),
    ],
)
def test_nothing_is_said_of_what_was_never_intended(journal: SqliteJournal, act: Any) -> None:
    journal.intend(make.intent())
    before = journal.execution("e1")
    with pytest.raises(StoreError, match=r"never intended|no attempt 7"):
        act(journal)
    assert journal.latest_executions() == [before]


def test_the_outcome_that_says_most_stands(journal: SqliteJournal) -> None:
    journal.intend(make.intent())
    journal.reserve(make.attempt())
    told = [
        (Delivery.NOT_DELIVERED, "a", Delivery.NOT_DELIVERED, "a"),
        (Delivery.AMBIGUOUS, "b", Delivery.AMBIGUOUS, "b"),
        (Delivery.REJECTED, "c", Delivery.AMBIGUOUS, "b"),
        (Delivery.DELIVERED, "", Delivery.DELIVERED, ""),
        (Delivery.AMBIGUOUS, "d", Delivery.DELIVERED, ""),
    ]
    for delivery, error, stands, why in told:
        journal.outcome("e1", 1, delivery, error)
        known = journal.execution("e1")
        assert known is not None
        assert (known.attempts[0].delivery, known.attempts[0].error) == (stands, why)


@pytest.mark.parametrize(
    ("chain_id", "wallet"), [(1, make.WALLET), (make.CHAIN_ID, make.EXECUTOR)], ids=["chain", "wallet"]
)
def test_a_foreign_journal_is_refused(journal: SqliteJournal, chain_id: int, wallet: make.Address) -> None:
    journal.intend(make.intent())
    with pytest.raises(StoreError, match="it takes no intent"):
        journal.intend(make.intent("e2", chain_id=chain_id, wallet=wallet))
    with pytest.raises(StoreError, match="its own journal"):
        journal.highest_nonce(chain_id, wallet)
    journal.close()
    with pytest.raises(StoreError) as error:
        SqliteJournal(journal.path.parent, chain_id, wallet)
    assert str(make.CHAIN_ID) in str(error.value)
    assert "\n" not in str(error.value)
    with SqliteJournal(journal.path.parent, make.CHAIN_ID, make.WALLET) as again:
        assert len(again.open_executions()) == 1


def test_a_journal_of_another_chain_with_the_same_id_is_refused(tmp_path: Path) -> None:
    SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, genesis=make.word("a")).close()
    SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, genesis=make.word("a")).close()
    with pytest.raises(StoreError, match="another chain with id 31337"):
        SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET, genesis=make.word("b"))


@pytest.mark.parametrize("table", ["record", "identity"])
@pytest.mark.parametrize("sql", ["UPDATE {} SET rowid = rowid", "DELETE FROM {}"])
def test_it_is_append_only(journal: SqliteJournal, table: str, sql: str) -> None:
    journal.intend(make.intent())
    other = sqlite3.connect(journal.path)
    with pytest.raises(sqlite3.IntegrityError, match=r"append-only|one chain and one wallet"):
        other.execute(sql.format(table))
    other.close()


def test_nobody_else_may_read_it(journal: SqliteJournal) -> None:
    journal.intend(make.intent())
    files = sorted(journal.path.parent.iterdir())
    assert [file.name for file in files] == ["journal.sqlite", "journal.sqlite-shm", "journal.sqlite-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    journal.close()
    journal.path.chmod(0o644)
    with reopened(journal) as again:
        again.intend(make.intent("e2"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in journal.path.parent.iterdir()} == {0o600}


def test_commits_are_synced(journal: SqliteJournal) -> None:
    assert journal._connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert journal._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_a_newer_journal_is_refused(journal: SqliteJournal) -> None:
    journal.close()
    other = sqlite3.connect(journal.path)
    with other:
        other.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('journal', '0999_x', '')"
        )
    other.close()
    with pytest.raises(StoreError, match="newer ARBTUI"):
        reopened(journal)


def test_a_full_disk_refuses_and_what_was_there_stays(journal: SqliteJournal) -> None:
    journal.intend(make.intent())
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="disk is full"):
        journal.reserve(replace(make.attempt(), raw=b"\x02" * 100_000))
    known = journal.execution("e1")
    assert known is not None
    assert known.attempts == ()
    assert journal.highest_nonce(make.CHAIN_ID, make.WALLET) is None


def test_a_locked_journal_is_one_line(journal: SqliteJournal) -> None:
    other = sqlite3.connect(journal.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal._connection.execute("PRAGMA busy_timeout = 20")
    with pytest.raises(StoreError, match="locked by another process"):
        journal.intend(make.intent())
    other.execute("ROLLBACK")
    other.close()
    journal.intend(make.intent())


class JournalMachine(RuleBasedStateMachine):
    """The journal beside a model in plain Python, closed and opened again at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.journal = self.open()
        self.status: dict[str, S] = {}
        self.attempts: dict[str, list[Attempt]] = {}
        self.told: dict[tuple[str, int], Delivery] = {}
        self.released: set[str] = set()

    def open(self) -> SqliteJournal:
        return SqliteJournal(Path(self.folder.name), make.CHAIN_ID, make.WALLET)

    names = st.sampled_from(["a", "b", "c"])

    def refused(self, allowed: bool, act: Any) -> bool:
        try:
            act()
        except StoreError:
            assert not allowed
            return True
        assert allowed
        return False

    @rule(name=names)
    def intend(self, name: str) -> None:
        if not self.refused(name not in self.status, lambda: self.journal.intend(make.intent(name))):
            self.status[name] = S.PREPARED
            self.attempts[name] = []

    @precondition(lambda self: self.status)
    @rule(name=names, nonce=st.integers(1, 3), kind=st.sampled_from(AttemptKind))
    def reserve(self, name: str, nonce: int, kind: AttemptKind) -> None:
        own = self.attempts.get(name, [])
        attempt = make.attempt(name, len(own) + 1, nonce, kind)
        holders = {other for other, made in self.attempts.items() if made and made[0].nonce == nonce}
        allowed = (
            name in self.status
            and name not in self.released
            and (not own or own[0].nonce == nonce)
            and not holders - self.released - {name}
            and not (self.status[name] in FINAL_STATUSES and kind is AttemptKind.TRADE)
        )
        if not self.refused(allowed, lambda: self.journal.reserve(attempt)):
            own.append(attempt)

    @precondition(lambda self: any(self.attempts.values()))
    @rule(name=names, delivery=st.sampled_from(Delivery))
    def outcome(self, name: str, delivery: Delivery) -> None:
        own = self.attempts.get(name, [])
        if not self.refused(bool(own), lambda: self.journal.outcome(name, len(own), delivery, "")):
            order = ["unsent", "not_delivered", "rejected", "ambiguous", "delivered"]
            best = max(self.told.get((name, len(own)), Delivery.UNSENT), delivery, key=order.index)
            self.told[name, len(own)] = best
            leaves_again = delivery is Delivery.UNSENT and best not in (
                Delivery.AMBIGUOUS,
                Delivery.DELIVERED,
            )
            own[-1] = replace(own[-1], delivery=Delivery.UNSENT if leaves_again else best)

    @rule(name=names, status=st.sampled_from(S))
    def move(self, name: str, status: S) -> None:
        allowed = name in self.status and may_move(self.status[name], status)
        if not self.refused(allowed, lambda: self.journal.move(name, status, "")):
            self.status[name] = status

    @rule(name=names)
    def release(self, name: str) -> None:
        sure = all(
            a.delivery not in (Delivery.DELIVERED, Delivery.AMBIGUOUS) for a in self.attempts.get(name, [])
        )
        if not self.refused(name in self.status and sure, lambda: self.journal.release(name, "")):
            self.released.add(name)

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = self.open()

    @invariant()
    def agrees(self) -> None:
        expected = [
            OpenExecution(make.intent(name), status, tuple(self.attempts[name]))
            for name, status in self.status.items()
        ]
        assert self.journal.latest_executions() == expected
        assert self.journal.open_executions() == [e for e in expected if e.status not in FINAL_STATUSES]
        nonces = [
            attempt.nonce
            for name, made in self.attempts.items()
            for attempt in made
            if name not in self.released
        ]
        assert self.journal.highest_nonce(make.CHAIN_ID, make.WALLET) == max(nonces, default=None)

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()


JournalMachine.TestCase.settings = settings(
    max_examples=2_000 if PROFILE == "deep" else 15, stateful_step_count=20, deadline=None
)
TestJournalMachine = JournalMachine.TestCase
