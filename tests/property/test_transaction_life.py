"""Any interleaving of sends, outcomes, blocks, reorganisations, crashes, restarts and clock jumps: what never happens.

At most one mined effect of a ticket; no two payloads on a nonce but for a bump or a cancel; no gap at rest; nothing
sent before it is on disk; every hash watched until its outcome is final.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arbtui.domain import ExecutionStatus
from arbtui.engine import Sending
from tests import factories as make
from tests.conftest import PROFILE
from tests.scripted_chain import (
    DEPTH,
    FOREIGN,
    GWEI,
    Chain,
    Clock,
    Crash,
    DyingJournal,
    Tx,
    done,
    read,
    sending_on,
)

DEEP = PROFILE == "deep"
FATES = (
    "pool", "swallowed", "lost", "late", "refused", "underpriced", "full", "funds", "gas", "odd", "html", "lag",
    "other hash", "crash",
)  # fmt: skip
S = ExecutionStatus


class Life(RuleBasedStateMachine):
    """One wallet's engine room on a scripted chain; killed and started again at any of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.chain, self.clock = Chain(), Clock()
        self.chain.before_send = self.is_on_disk
        self.tickets = 0
        self.removed: set[str] = set()
        self.journal = self.opened()
        self.sending = self.started()

    def opened(self) -> DyingJournal:
        journal = DyingJournal(Path(self.folder.name), make.CHAIN_ID, make.WALLET, clock=self.clock.utc)
        # The process dies here, never the machine: what SQLite has been told is there without a sync.
        journal._connection.execute("PRAGMA synchronous = OFF")
        return journal

    def started(self) -> Sending:
        sending = sending_on(self.chain, self.journal, self.clock)
        for known in (*self.journal.unfinished(), *self.journal.open_executions()):
            sending.take_up(known, None)
        self.removed = set()
        self.fresh = True
        return sending

    def is_on_disk(self, raw: bytes) -> None:
        on_disk = {
            attempt.raw
            for known in self.journal.latest_executions(1_000)
            for attempt in known.attempts
            if attempt.nonce == read(raw).nonce
        }
        assert raw in on_disk, "it left before it was written down"

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            done(work())
        except Crash:
            self.restart()

    def look(self) -> None:
        removed = None if self.fresh else self.removed
        self.removed, self.fresh = set(), False
        self.run(lambda: self.sending.watch(self.chain.head, removed))

    # ---- what happens

    @rule(fates=st.lists(st.sampled_from(FATES), max_size=3), life=st.integers(1, 4))
    def send(self, fates: list[str], life: int) -> None:
        if self.sending.flight is not None or self.sending.stopped is not None:
            return
        self.tickets += 1
        name = f"t{self.tickets}"
        ticket = make.ticket(
            name,
            last_block=self.chain.head.number + life,
            simulated_block=self.chain.head,
            executor=make.EXECUTOR,
        )
        self.chain.last_block[name] = ticket.last_block
        self.chain.fates = list(fates)
        self.run(lambda: self.sending.send(ticket, f"x{self.tickets}"))
        self.chain.fates = []

    @rule(
        include=st.booleans(),
        base=st.sampled_from([5, 20, 44, 60]),
        fates=st.lists(st.sampled_from(FATES), max_size=2),
    )
    def block(self, include: bool, base: int, fates: list[str]) -> None:
        self.chain.mine(include=include, base=base * GWEI)
        self.clock.pass_s(12)
        self.chain.fates = list(fates)
        self.look()
        self.chain.fates = []

    @rule(depth=st.integers(1, DEPTH - 1), back=st.booleans(), swap=st.booleans())
    def reorg(self, depth: int, back: bool, swap: bool) -> None:
        self.removed |= self.chain.reorg(depth, back=back, swap=swap)
        self.clock.pass_s(1)
        self.look()

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.clock.pass_s(seconds)
        if self.sending.restless:
            self.look()

    @rule(seconds=st.integers(-4_000, 4_000))
    def wall_clock_jumps(self, seconds: int) -> None:
        self.clock.wall += timedelta(seconds=seconds)

    @rule()
    def evicted(self) -> None:
        self.chain.pool.clear()

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = self.opened()
        self.sending = self.started()

    @rule(steps=st.integers(0, 6))
    def will_die(self, steps: int) -> None:
        self.journal.dies_in = steps

    @precondition(lambda self: self.tickets)
    @rule()
    def somebody_else_signs(self) -> None:
        nonce = self.chain.nonce
        self.chain.possible.setdefault(nonce, set())
        self.chain.mine(include=False, first=Tx(f"f{self.chain.head.number}", FOREIGN, nonce, 10**12, 1))
        self.look()

    @rule()
    def acknowledge(self) -> None:
        self.journal.dies_in = None
        self.sending.acknowledge("a test")

    # ---- what never happens

    @invariant()
    def one_effect_a_ticket(self) -> None:
        for number in range(1, self.tickets + 1):
            assert len(self.chain.mined(f"t{number}")) <= 1

    @invariant()
    def one_payload_a_nonce(self) -> None:
        for nonce, tickets in self.chain.possible.items():
            assert len(tickets - {""}) <= 1, f"nonce {nonce} was signed for {sorted(tickets)}"

    @invariant()
    def everything_is_watched(self) -> None:
        watched = {flight.id: {item.tx_hash for item in flight.attempts} for flight in self.sending.followed}
        for known in (*self.journal.unfinished(), *self.journal.open_executions()):
            hashes = {attempt.tx_hash for attempt in known.attempts}
            assert hashes <= watched.get(known.intent.execution_id, set()), known.intent.execution_id

    @invariant()
    def at_most_one_new(self) -> None:
        held = [known for known in self.journal.open_executions() if not known.attempts]
        assert len(held) <= 1

    def teardown(self) -> None:
        """Faults over: everything comes to rest, without a gap, and as the chain says."""
        try:
            self.at_rest()
        finally:
            self.journal.close()
            self.folder.cleanup()

    def at_rest(self) -> None:
        self.journal.dies_in = None
        self.chain.fates = []
        for _ in range(60):
            self.chain.mine(base=20 * GWEI)
            self.clock.pass_s(12)
            self.look()
            if not self.sending.followed:
                break
        left = [
            (flight.id, flight.status, flight.nonce, flight.due, flight.attempts[-1:])
            for flight in self.sending.followed
        ]
        assert not left, f"not at rest at nonce {self.chain.nonce}: {left}"
        assert self.journal.open_executions() == []
        highest = self.journal.highest_nonce(make.CHAIN_ID, make.WALLET)
        assert highest is None or highest < self.chain.nonce, "a gap"
        for known in self.journal.latest_executions(1_000):
            landed = [a for a in known.attempts if done(self.chain.receipt(a.tx_hash)) is not None]
            assert len(landed) <= 1
            if known.status is S.MINED:
                assert read(landed[0].raw).ticket == known.intent.ticket_id
            elif known.status is S.CANCELLED:
                assert read(landed[0].raw).ticket == ""
            elif known.status in (S.EXPIRED, S.REJECTED):
                assert not landed


Life.TestCase.settings = settings(
    # Fifty steps a life: ten thousand in the suite, a million in the long run.
    max_examples=20_000 if DEEP else 200,
    stateful_step_count=50,
    deadline=None,
    report_multiple_bugs=False,
)
TestLife = Life.TestCase
