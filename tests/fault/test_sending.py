"""One flight at a time through scripted faults: what is decided, written down, and done about each."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arbtui.chain import Node
from arbtui.domain import AttemptKind, Delivery, ExecutionStatus, Receipt, Settlement
from arbtui.engine import Sending, settling
from arbtui.engine.settling import Settler
from arbtui.errors import NodeError, NodeUnreachable, RefusedError
from arbtui.monitor import build_report
from arbtui.store import SqliteJournal, Store, open_store
from arbtui.units import Wei
from tests import factories as make
from tests.scripted_chain import (
    FOREIGN,
    GWEI,
    WALLET,
    Chain,
    Clock,
    Crash,
    ScriptedNode,
    Tx,
    done,
    read,
    sending_on,
)

S = ExecutionStatus


class Room:
    """A wallet's engine room with a journal and a store on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.chain, self.clock = folder, Chain(), Clock()
        self.journal = SqliteJournal(folder, make.CHAIN_ID, make.WALLET, clock=self.clock.utc)
        self.store = Store.open(folder, "live")
        self.store.start_run(make.run_info())
        self.reverts = ""
        self.sending = self.engine()

    async def why_not(self, calldata: bytes, gas: int, block: Any) -> str:
        return self.reverts

    def engine(self) -> Sending:
        return sending_on(self.chain, self.journal, self.clock, why_not=self.why_not)

    def tell(self, writes: list[Any]) -> None:
        with self.store.batch() as batch:
            for write in writes:
                write(batch)

    def send(self, *fates: str, name: str = "t1", life: int = 10) -> None:
        ticket = make.ticket(name, last_block=self.chain.head.number + life, simulated_block=self.chain.head)
        self.chain.last_block[name] = ticket.last_block
        self.chain.fates = list(fates)
        with self.store.batch() as batch:
            batch.ticket(ticket, {})
        self.tell(done(self.sending.send(ticket, "x" + name)))
        self.chain.fates = []

    def look(self, *fates: str) -> None:
        self.chain.fates = list(fates)
        self.tell(done(self.sending.watch(self.chain.head)))
        self.chain.fates = []

    def block(self, *fates: str, include: bool = True, base: int = 20) -> None:
        self.chain.mine(include=include, base=base * GWEI)
        self.clock.pass_s(12)
        self.look(*fates)

    def restart(self) -> None:
        self.sending = self.engine()
        for known in (*self.journal.unfinished(), *self.journal.open_executions()):
            self.tell(self.sending.take_up(known, None))

    def status(self, name: str = "xt1") -> ExecutionStatus:
        known = self.journal.execution(name)
        assert known is not None
        return known.status

    def decisions(self) -> list[tuple[str, str]]:
        rows = self.store._connection.execute("SELECT error_class, action FROM recovery_event ORDER BY id")
        return [(str(row[0]), str(row[1])) for row in rows]

    def incidents(self) -> list[str]:
        return [
            str(row[0]) for row in self.store._connection.execute("SELECT kind FROM incident ORDER BY id")
        ]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path)
    yield room
    room.journal.close()
    room.store.close()


def test_every_answer_has_its_outcome_and_decision(tmp_path: Path) -> None:
    """The table is applied: what is in the journal, what is decided, where the execution stands."""
    expected = {
        "pool": (Delivery.DELIVERED, None, S.SUBMITTED),
        "lost": (Delivery.AMBIGUOUS, ("timeout", "probe"), S.SUBMITTED),
        "html": (Delivery.AMBIGUOUS, ("connection", "probe"), S.SUBMITTED),
        "odd": (Delivery.AMBIGUOUS, ("unknown", "probe"), S.SUBMITTED),
        "other hash": (Delivery.AMBIGUOUS, ("unknown", "probe"), S.SUBMITTED),
        "lag": (Delivery.AMBIGUOUS, ("nonce_too_low", "probe"), S.SUBMITTED),
        "refused": (Delivery.NOT_DELIVERED, ("connection", "resend_same"), S.PREPARED),
        "full": (Delivery.REJECTED, ("txpool_full", "resend_elsewhere"), S.PREPARED),
        "funds": (Delivery.REJECTED, ("insufficient_funds", "stop_account"), S.REJECTED),
        "gas": (Delivery.REJECTED, ("intrinsic_gas_too_low", "re_estimate"), S.REJECTED),
    }
    for fate, (delivery, decision, status) in expected.items():
        room = Room(tmp_path / fate.replace(" ", "_"))
        room.send(fate)
        known = room.journal.execution("xt1")
        assert known is not None
        assert (fate, known.attempts[0].delivery, known.status) == (fate, delivery, status)
        assert room.decisions()[:1] == ([] if decision is None else [decision]), fate
        nonce = room.journal.highest_nonce(make.CHAIN_ID, make.WALLET)
        assert nonce == (None if status is S.REJECTED else 0), (
            f"{fate}: the nonce is given back only when sure"
        )
        assert (room.sending.stopped is not None) == (fate == "funds")


def test_a_price_refusal_climbs_the_approved_ladder_and_no_further(room: Room) -> None:
    room.send("underpriced", "underpriced")
    known = room.journal.execution("xt1")
    assert known is not None
    assert [a.max_fee_per_gas for a in known.attempts] == [45 * GWEI, 52 * GWEI]
    assert known.status is S.REJECTED
    assert room.journal.highest_nonce(make.CHAIN_ID, make.WALLET) is None


def test_nothing_is_repeated_blindly(room: Room) -> None:
    """Not understood: looked for, sent again twice with a pause, then the account stops and only watches."""
    room.send("odd")
    sends = len(room.chain.possible)
    assert sends == 1
    assert room.sending.flight is not None
    assert room.sending.flight.due is not None
    room.look("odd")
    assert room.decisions() == [("unknown", "probe")], "not before its time"
    for _ in range(4):
        room.block("odd")
    assert room.decisions() == [("unknown", "probe"), ("unknown", "probe"), ("unknown", "stop_account")]
    assert room.sending.stopped is not None
    with pytest.raises(RefusedError, match="stopped"):
        room.send(name="t2")


def test_the_waits_are_told_with_their_time(room: Room) -> None:
    room.send("lost")
    (row,) = room.store._connection.execute("SELECT at, next_at, reason FROM recovery_event").fetchall()
    assert row[1] > row[0][:10]
    assert "nobody knows whether the bytes arrived" in row[2]
    assert not room.sending.restless
    room.clock.pass_s(2)
    room.sending._head = room.chain.head
    assert room.sending.restless, "due before the next block"
    room.look()
    assert room.chain.pool, "the same bytes were handed over again"
    assert room.status() is S.SUBMITTED


def test_a_bump_within_the_ladder_also_after_a_restart(room: Room) -> None:
    room.send()
    room.restart()
    room.clock.wall = room.clock.wall.replace(year=2020)
    room.restart()
    room.block(include=False)
    assert [tx.cap for tx in room.chain.pool.values()] == [45 * GWEI], "its step is not due yet"
    room.block(include=False)
    assert [tx.cap for tx in room.chain.pool.values()] == [52 * GWEI]
    known = room.journal.execution("xt1")
    assert known is not None
    assert len({a.nonce for a in known.attempts}) == 1
    for _ in range(4):
        room.block(include=False)
    assert len(room.chain.pool) == 1
    assert [tx.cap for tx in room.chain.pool.values()] == [52 * GWEI], "never above what was approved"
    room.block()
    assert room.status() is S.MINED


def test_past_the_deadline_a_cancel_and_what_mines_decides(room: Room) -> None:
    room.send(life=1)
    first = next(iter(room.chain.pool.values()))
    room.block(include=False)
    known = room.journal.execution("xt1")
    assert known is not None
    assert [a.kind for a in known.attempts] == [AttemptKind.TRADE, AttemptKind.CANCEL]
    # The original mines after the cancel was sent: not cancelled.
    room.chain.mine(first=first)
    room.look()
    assert room.status() is S.REVERTED, "past its last block the contract refuses"


def test_a_head_that_stands_still_ends_a_ticket_by_the_monotonic_clock(room: Room) -> None:
    room.send(life=1)
    room.clock.wall = room.clock.wall.replace(year=2020)
    room.clock.now += 47
    room.look()
    assert room.sending.flight is not None
    assert not room.sending.flight.cancelling
    room.clock.now += 2
    room.look()
    assert room.sending.flight.cancelling


def test_a_reorganisation_takes_the_outcome_back_and_the_same_bytes_mine_again(room: Room) -> None:
    room.send()
    room.block()
    assert room.status() is S.MINED
    raws = len(room.chain.possible)
    room.chain.reorg(1, back=False, swap=False)
    room.look()
    assert room.status() is S.SUBMITTED
    assert ("reorged", "follow_reorg") in room.decisions()
    (row,) = room.store._connection.execute("SELECT status, mined_at FROM execution").fetchall()
    assert tuple(row) == ("submitted", None)
    assert len(room.chain.pool) == 1, "the same bytes were handed over again"
    assert len(room.chain.possible) == raws
    room.block()
    assert room.status() is S.MINED
    for _ in range(3):
        room.block()
        assert room.sending.followed
    room.block()
    assert room.sending.followed == ()
    assert room.journal.unfinished() == []
    (final,) = room.store._connection.execute("SELECT final_block FROM execution").fetchone()
    assert final == room.chain.head.number


def test_a_sibling_mines_instead_after_a_reorganisation(room: Room) -> None:
    room.send(life=1)
    trade = next(iter(room.chain.pool.values()))
    room.block(include=False)
    room.block()
    assert room.status() is S.CANCELLED
    room.chain.reorg(1, back=False, swap=False)
    room.chain.pool.clear()
    room.chain.mine(first=replace(trade))
    room.look()
    assert room.status() is S.REVERTED


def test_a_stranger_on_our_nonce_stops_the_account_until_somebody_acknowledges(room: Room) -> None:
    room.send("swallowed")
    room.chain.mine(first=Tx("stranger", FOREIGN, 0, 10**12, 1))
    room.look()
    assert room.status() is S.SUBMITTED, "the node that told the receipts may lag"
    assert room.decisions()[-1] == ("nonce_too_low", "probe")
    room.block()
    assert room.status() is S.EXPIRED
    assert {"foreign_nonce", "stopped"} <= set(room.incidents())
    room.restart()
    assert room.sending.stopped is not None, "over a restart too"
    with pytest.raises(RefusedError, match="stopped"):
        room.send(name="t2")
    assert room.sending.acknowledge("a test") == "acknowledged"
    assert room.sending.acknowledge("a test") == "refused: the account is not stopped"
    room.restart()
    assert room.sending.stopped is None
    room.send(name="t3")
    assert [tx.nonce for tx in room.chain.pool.values()] == [1]


def test_one_at_a_time(room: Room) -> None:
    room.send()
    with pytest.raises(RefusedError, match="one at a time"):
        room.send(name="t2")


def test_a_ticket_is_never_sent_twice(room: Room) -> None:
    room.send()
    room.block()
    with pytest.raises(Exception, match="intended before"):
        done(room.sending.send(make.ticket("t1", simulated_block=room.chain.head), "x9"))


def test_a_refused_bump_drops_nothing(room: Room) -> None:
    room.send()
    room.block(include=False)
    room.block("full", include=False)
    assert [tx.cap for tx in room.chain.pool.values()] == [45 * GWEI]
    room.block()
    assert room.status() is S.MINED
    (followed,) = room.sending.followed
    assert read(followed.attempts[0].raw).hash == followed.sightings[-1].tx_hash


def test_the_journal_is_for_its_owner_alone(room: Room) -> None:
    room.send()
    assert stat.S_IMODE((room.folder / "journal.sqlite").stat().st_mode) == 0o600


def test_what_would_revert_is_cancelled_instead_of_bumped(room: Room) -> None:
    room.send()
    room.block(include=False)
    room.reverts = "ProfitBelowMinimum"
    room.block(include=False)
    (pending,) = room.chain.pool.values()
    assert pending.ticket == "", "a self-transfer has taken its place"
    assert ("execution_reverted", "cancel") in room.decisions()
    room.block()
    assert room.status() is S.CANCELLED


def test_the_store_tells_what_was_decided_and_when_it_was_final(room: Room) -> None:
    room.send("lost")
    room.clock.pass_s(3)
    room.look()
    for _ in range(5):
        room.block()
    with open_store(room.folder) as reader:
        row = reader.execution("xt1")
    assert row is not None
    assert row["final_block"] == room.chain.head.number
    (decision,) = row["recovery"]
    assert (decision["error_class"], decision["action"], decision["tries"]) == ("timeout", "probe", 0)
    assert decision["next_at"]


def test_a_lower_nonce_that_became_free_is_filled(room: Room) -> None:
    """A stranger's transaction under ours is undone and never comes back: without a filler ours could never mine."""
    room.chain.mine(first=Tx("stranger", FOREIGN, 0, 10**12, 1))
    room.send(life=2)
    assert [tx.nonce for tx in room.chain.pool.values()] == [1]
    room.chain.reorg(1, back=False, swap=False)
    room.look()
    for _ in range(8):
        room.block()
    assert "gap" in room.incidents()
    assert room.chain.nonce == 2
    assert room.sending.followed == ()
    assert room.journal.open_executions() == []
    with open_store(room.folder) as reader:
        rows = {row["id"][:3]: row["status"] for row in reader.executions()}
        report = build_report(reader)
        fillers = [row["id"][:3] for row in reader.executions() if row["filler"]]
    assert (fillers, report["fillers"], report["executions"], report["delivered"]) == (["gap"], 1, 1, 1)
    assert (report["recovery"]["cancelled"], report["recovery"]["taken_up"]) == (0, 0)
    # With the gap filled the trade mines at once; past its last block the contract refuses.
    assert rows == {"gap": "cancelled", "xt1": "reverted"}


def test_bytes_whose_outcome_was_lost_in_a_crash_are_not_disproved_by_a_refusal(room: Room) -> None:
    """They may have left before the crash: a later refusal of the same bytes does not give the nonce back."""
    real = room.journal.outcome

    def crashes(*_: Any) -> None:
        raise Crash

    room.journal.outcome = crashes  # type: ignore[method-assign]
    with pytest.raises(Crash):
        room.send("swallowed", life=2)
    room.journal.outcome = real  # type: ignore[method-assign]
    room.restart()
    known = room.journal.execution("xt1")
    assert known is not None
    (attempt,) = known.attempts
    assert attempt.delivery is Delivery.AMBIGUOUS
    room.block("funds", include=False)
    assert room.status() is not S.REJECTED
    assert room.journal.highest_nonce(make.CHAIN_ID, make.WALLET) == 0
    room.restart()
    room.sending.acknowledge("a test")
    for _ in range(8):
        room.block()
    assert room.status() in (S.CANCELLED, S.MINED, S.REVERTED)
    assert room.sending.followed == ()


def test_a_crash_while_the_same_bytes_leave_again_leaves_them_in_doubt(room: Room) -> None:
    """The first time no node was there; the second time one took them, and the process died before that was told."""
    room.send("refused", life=2)
    assert room.status() is S.PREPARED
    real, left = room.journal.outcome, 1

    def crashes(*arguments: Any) -> None:
        nonlocal left
        if left == 0:
            raise Crash
        left -= 1
        real(*arguments)

    room.journal.outcome = crashes  # type: ignore[method-assign]
    with pytest.raises(Crash):
        room.block(include=False)
    room.journal.outcome = real  # type: ignore[method-assign]
    assert len(room.chain.pool) == 1, "it did leave"
    room.restart()
    room.chain.pool.clear()
    room.block("refused", include=False)
    assert room.status() is not S.EXPIRED
    assert room.journal.highest_nonce(make.CHAIN_ID, make.WALLET) == 0
    room.restart()
    for _ in range(8):
        room.block()
    assert room.status() in (S.CANCELLED, S.MINED, S.REVERTED)
    assert room.sending.followed == ()


def test_bytes_that_never_found_a_node_give_their_nonce_back(room: Room) -> None:
    room.send("refused", life=2)
    for _ in range(6):
        room.clock.pass_s(12)
        room.chain.mine(include=False)
        room.look("refused", "refused")
    assert room.status() in (S.EXPIRED, S.REJECTED)
    assert room.journal.highest_nonce(make.CHAIN_ID, make.WALLET) is None


def test_a_filler_that_no_node_takes_is_made_again_with_the_next_block(room: Room) -> None:
    room.chain.mine(first=Tx("stranger", FOREIGN, 0, 10**12, 1))
    room.send(life=2)
    room.chain.reorg(1, back=False, swap=False)
    room.look()
    room.block("refused", include=False)
    for _ in range(3):
        room.clock.pass_s(1)
        room.look("refused", "refused")
    for _ in range(8):
        room.block()
    fillers = [one for one in room.journal.latest_executions(10) if one.intent.execution_id.startswith("gap")]
    hashes = [attempt.tx_hash for one in fillers for attempt in one.attempts]
    assert len(fillers) > 1
    assert len(hashes) == len(set(hashes)), "what was given up is not what was mined"
    assert room.chain.nonce == 2
    assert room.sending.followed == ()
    assert room.journal.open_executions() == []


# ---- what only one node says, once


class Relay:
    """Takes everything and includes nothing by itself."""

    def __init__(self) -> None:
        self.raws: list[bytes] = []

    async def send_private(self, raw: bytes, last_block: int) -> str:
        self.raws.append(raw)
        return read(raw).hash


def test_a_private_trade_that_was_undone_is_cancelled_and_not_forgotten(room: Room) -> None:
    """It was in a block: from then on nodes have its bytes, and its nonce is not given back."""
    relay = Relay()
    room.sending._relay = relay
    room.send(life=2)
    room.chain.mine(first=read(relay.raws[0]))
    room.clock.pass_s(12)
    room.look()
    assert room.status() is S.MINED
    gone = room.chain.reorg(1, back=False, swap=True)
    room.tell(done(room.sending.watch(room.chain.head, gone)))
    assert room.status() is S.SUBMITTED
    for _ in range(7):
        room.block()
    assert room.status() is S.CANCELLED
    assert (room.sending.followed, room.journal.unfinished()) == ((), [])
    assert room.chain.nonce == 1


@pytest.mark.parametrize("fate", ["gas", "funds"])
def test_a_refusal_whose_proof_cannot_be_had_at_once_is_concluded_later(
    room: Room, fate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def nonce(self: ScriptedNode, address: str, tag: str = "latest") -> int:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise NodeUnreachable("no answer")
        return self.chain.nonce

    monkeypatch.setattr(ScriptedNode, "nonce", nonce)
    room.send(fate)
    assert room.status() is S.PREPARED, "nothing is sure yet"
    with open_store(room.folder) as reader:
        assert reader.execution("xt1") is not None, "and yet it is told"
    room.block()
    assert room.status() is S.REJECTED
    assert room.journal.highest_nonce(make.CHAIN_ID, make.WALLET) is None
    with open_store(room.folder) as reader:
        row = reader.execution("xt1")
    assert row is not None
    assert row["error_class"] == {"gas": "intrinsic_gas_too_low", "funds": "insufficient_funds"}[fate]


def test_a_node_that_does_not_have_our_head_is_not_asked(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nonce is of yesterday: with it a gap would be filled that is none, or a mined trade be forgotten."""
    room.send(name="t1")
    for _ in range(6):
        room.block()
    assert room.sending.followed == ()
    room.send(name="t2", life=1)
    room.chain.mine(include=False)
    room.clock.pass_s(12)
    behind = room.chain.blocks[-2].block
    with monkeypatch.context() as lagging:

        async def block(self: ScriptedNode, number: int | str = "latest") -> Any:
            return behind

        async def nonce(self: ScriptedNode, address: str, tag: str = "latest") -> int:
            return 0

        lagging.setattr(ScriptedNode, "block", block)
        lagging.setattr(ScriptedNode, "nonce", nonce)
        room.look()
    assert room.status("xt2") is S.SUBMITTED
    assert "gap" not in room.incidents()
    assert not room.sending.sure
    for _ in range(6):
        room.block()
    assert room.status("xt2") in (S.CANCELLED, S.REVERTED)


def test_a_receipt_of_another_fork_is_not_believed(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.send()
    room.chain.mine(include=False)
    head, orphan = room.chain.head, make.word("orphan")
    (pooled,) = room.chain.pool.values()
    there = Receipt(
        tx_hash=pooled.hash,
        block_number=head.number,
        block_hash=orphan,
        success=True,
        gas_used=21_000,
        effective_gas_price=Wei(1),
        l1_fee=Wei(0),
        logs=(),
        tx_index=0,
        sender=make.WALLET,
    )
    with monkeypatch.context() as fork:

        async def receipt(self: ScriptedNode, tx_hash: str) -> Receipt | None:
            return there

        async def block(self: ScriptedNode, number: int | str = "latest") -> Any:
            # The node changes forks between two answers.
            stood = await self.chain.block(number)
            answers.append(stood)
            return stood if len(answers) == 1 else replace(stood, hash=orphan)

        answers: list[Any] = []
        fork.setattr(ScriptedNode, "receipt", receipt)
        fork.setattr(ScriptedNode, "block", block)
        room.clock.pass_s(12)
        room.tell(done(room.sending.watch(room.chain.head, set())))
    assert room.status() is S.SUBMITTED
    assert not room.sending.sure
    room.block()
    assert room.status() is S.MINED
    assert len(room.chain.mined("t1")) == 1


# ---- a block whose state nobody keeps any more


def settler(node: Node) -> Settler:
    return Settler(node, WALLET, make.EXECUTOR, {make.WETH.address: make.WETH}, "ETH")


def test_what_landed_long_ago_settles_by_its_receipt(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in flight, started a day later: the receipt is there, the balances of its block are not."""

    async def gone(*_: Any) -> Any:
        raise NodeError(-32602, "BlockOutOfRangeError: block height is 900 but requested was 12")

    monkeypatch.setattr(settling, "read_balances", gone)
    room.send()
    told: list[tuple[str, Settlement, str]] = []
    room.sending._settler = settler(room.sending._node)
    room.block()
    assert room.status() is S.SUBMITTED, "so near the head it is asked again"
    assert not room.sending.sure
    for _ in range(4):
        room.block(include=False)
        told += room.sending.settled
        room.sending.settled.clear()
    assert room.status() is S.MINED
    ((_, settlement, said),) = told
    assert said.startswith("in block ")
    assert settlement.reconciled is None
    assert settlement.gas_used == 21_000
    assert "no state of block" in settlement.difference
    room.send(name="t2")
    assert room.status("xt2") is S.SUBMITTED, "the account goes on"
