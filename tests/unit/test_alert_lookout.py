"""Each rule on a store that a real writer wrote: it is told when it should be, and not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.cli import main
from arbtui.domain import AttemptKind, DecisionKind, Delivery, ExecutionStatus, LenderId, Token
from arbtui.monitor.lookout import Looked, Lookout
from arbtui.monitor.policy import AlertsPolicy
from arbtui.monitor.rules import Level
from arbtui.store import Batch, SqliteJournal, Store, StoreLock, StoreReader, open_store
from arbtui.store.driver import sqlite3
from arbtui.units import ETHER
from tests import factories as make

S = ExecutionStatus
#: Seconds after START: three seconds after the head's own time, if the head is HEAD + 1.
NOW = 15.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as opened:
        opened.start_run(make.run_info())
        yield opened


@pytest.fixture
def reader(store: Store, tmp_path: Path) -> Iterator[StoreReader]:
    with open_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[StoreLock]:
    with StoreLock(tmp_path) as lock:
        yield lock


Look = Callable[..., Looked]


@pytest.fixture
def look(reader: StoreReader) -> Look:
    """A look at `now` seconds; what was marked stays marked from one to the next."""
    marks: dict[str, Any] = {}

    def once(now: float = NOW, free: int = 2**40, **policy: Any) -> Looked:
        found = Lookout(
            reader,
            AlertsPolicy(**{"summary_hour": -1, **policy}),
            now=lambda: make.at(now),
            native=Token(make.ETH.address, "E*T@H", 18),
            free_bytes=lambda _: free,
        ).look(marks)
        marks.update(found.marks)
        return found

    return once


def rules(looked: Looked) -> list[str]:
    return sorted(alarm.rule for alarm in (*looked.standing, *looked.events))


def only(looked: Looked) -> str:
    (alarm,) = (*looked.standing, *looked.events)
    return alarm.text


def head(batch: Batch, number: int = make.HEAD + 1, balance: int = ETHER) -> None:
    batch.block(make.block_ref(number), 40, 96, 3.5, balance)


def execute(batch: Batch, name: str, status: S, *, decided: float = 0.0, **settled: Any) -> None:
    ticket = make.ticket(f"t{name}", make.opportunity(ETHER + int(name[1:])))
    batch.ticket(ticket, {})
    batch.decision(make.decision(ticket.id))
    batch.execution(name, ticket, S.PREPARED, decided_at=make.at(decided), nonce=41)
    batch.execution_moved(name, S.PREPARED, S.SUBMITTED, "handed to the node", make.at(decided))
    batch.attempt(make.attempt(name, delivery=Delivery.DELIVERED))
    if status is S.SUBMITTED:
        return
    batch.execution_moved(name, S.SUBMITTED, status, "told", make.at(decided + 5))
    batch.settlement(make.settlement(name, success=status is S.MINED, **settled), make.ROLES, make.TOKENS)


def test_a_calm_store_says_nothing(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
        execute(batch, "e1", S.MINED)
    assert rules(look()) == []
    assert rules(look()) == []


def test_what_happened_before_the_first_look_is_left_alone_and_nothing_is_told_twice(
    store: Store, look: Look, engine: StoreLock
) -> None:
    with store.batch() as batch:
        head(batch)
        batch.incident("reorg", "old")
    assert rules(look()) == []
    with store.batch() as batch:
        batch.incident("reorg", "head went from 9 to 8")
    assert only(look()) == "reorg: head went from 9 to 8"
    assert rules(look()) == []


def test_a_ticket_that_waits_has_its_deadline(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
        batch.ticket(make.ticket("t1", expected_net_wei=ETHER // 10), {})
        batch.ticket(make.ticket("t2", make.opportunity(ETHER), expected_net_wei=ETHER // 100), {})
        batch.ticket(make.ticket("t3", make.opportunity(ETHER * 2), last_block=make.HEAD), {})
    text = only(look())
    assert "t1 waits: 0.100000 E T(at)H expected through balancer v2" in text
    assert f"last block {make.HEAD + 5}, about 48 s left" in text
    with store.batch() as batch:
        batch.decision(make.decision("t1", DecisionKind.REJECTED))
    assert rules(look()) == []


def test_losses_and_reverts(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    with store.batch() as batch:
        execute(batch, "e1", S.MINED, gross=1)
        execute(batch, "e2", S.REVERTED, gas_used=50_000)
        execute(batch, "e3", S.REVERTED, gas_used=5_000_000)
        execute(batch, "e4", S.MINED)
    found = look(loss_above_wei=ETHER // 20)
    assert rules(found) == ["loss", "loss", "revert", "revert"]
    losses = [alarm for alarm in found.events if alarm.rule == "loss"]
    assert [alarm.subject for alarm in losses] == ["e1", "e3"]
    assert "0.006599 E T(at)H" in losses[0].text
    assert all(alarm.level is Level.ERROR for alarm in losses)


def test_incidents_by_kind(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    with store.batch() as batch:
        batch.incident("foreign_nonce", "nonce 7 was used", execution_id="e9")
        batch.incident("cancel", "last block has passed", execution_id="e9")
        batch.incident("node", "https://user:secret@rpc.example/key gave <b>500</b> @everyone")
        batch.incident("breaker", "daily loss")
        batch.incident("send", "no", error_class="underpriced")
        batch.incident("new_kind", "?")
    found = look().events
    assert sorted((a.rule, a.subject) for a in found) == [
        ("incident", "new_kind"),
        ("key", "e9"),
        ("node", "node"),
        ("pause", "breaker"),
        ("recovery", "e9"),
        ("send", "underpriced"),
    ]
    (node,) = [a.text for a in found if a.rule == "node"]
    assert "secret" not in node
    assert "key gave" not in node
    assert not set("<>@") & set(node)


def test_in_flight_for_too_long(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
        execute(batch, "e1", S.SUBMITTED)
        batch.attempt(make.attempt("e1", 2, kind=AttemptKind.CANCEL))
    assert rules(look(stuck_s=60)) == []
    assert "nonce 41, 2 attempts" in next(
        a.text for a in look(NOW + 60, stuck_s=60).standing if a.rule == "stuck"
    )


def test_the_node_the_wallet_and_the_disk(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch, balance=ETHER // 20)
    assert rules(look()) == ["low_gas"]
    assert rules(look(NOW + 50)) == ["low_gas"], "less than five blocks"
    assert rules(look(NOW + 60)) == ["low_gas", "node_stale"]
    with store.batch() as batch:
        head(batch, make.HEAD + 2)
    assert rules(look(NOW + 12)) == []
    assert "5 MB are free" in only(look(NOW + 12, free=5 * 2**20 + 1))


def test_an_engine_that_is_gone_or_was_stopped(store: Store, look: Look, tmp_path: Path) -> None:
    with store.batch() as batch:
        head(batch)
    assert only(look()) == "the engine is gone without a word: no process holds the store"
    with StoreLock(tmp_path):
        assert rules(look()) == []
    store._clock = lambda: make.at(NOW - 1)
    store.end_run()
    assert rules(look()) == [], "it had been stopped before anybody watched"
    store._clock = lambda: make.at(NOW + 1)
    store.end_run()
    assert only(look()) == "the engine was stopped"


def test_a_lender_that_lends_no_more(store: Store, look: Look, engine: StoreLock) -> None:
    def quote(number: int, **changes: Any) -> None:
        found = make.opportunity(ETHER * 100 + number)
        answer = make.loan_quote(LenderId.AAVE_V3, **changes)
        maker = make.loan_quote(LenderId.MAKER, usable=False, reason="token_not_accepted")
        batch.dropped(found, (answer, maker), make.checks("profit"), "profit")

    with store.batch() as batch:
        head(batch)
        quote(0)
    assert rules(look()) == []
    with store.batch() as batch:
        for number in range(1, 5):
            quote(number, usable=False, reason="paused")
    assert rules(look()) == [], "four are too few"
    with store.batch() as batch:
        quote(6, usable=False, reason="paused")
    assert only(look()) == "aave v3 lends nothing any more: paused"
    with store.batch() as batch:
        quote(7, usable=False, reason="insufficient_liquidity")
    assert rules(look()) == [], "there is just not enough"


def test_rates_below_their_bounds(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
        for number in range(1, 10):
            execute(batch, f"e{number}", S.REVERTED if number % 3 else S.MINED, gross=ETHER // 50)
    policy: dict[str, Any] = {"at_least": 3, "min_success_rate": 0.5, "min_realised_share": 0.5}
    look()
    found = look(**policy).standing
    assert sorted(a.rule for a in found) == ["realised", "success_rate"]
    assert any("33% of 9 executions succeeded" in a.text for a in found)
    assert rules(look(**{**policy, "at_least": 10})) == []
    assert rules(look(NOW + 40, window_s=60, **{**policy, "off": ("realised", "success_rate")})) == []


def test_what_is_unreconciled_stands_and_is_named(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
        execute(batch, "e1", S.MINED, reconciled=False, difference="0xabc WETH: balance changed by 5")
    (alarm,) = look().standing
    assert alarm.urgent
    assert "e1" in alarm.text
    assert "balance changed by 5" in alarm.text


def test_a_settlement_that_was_altered_is_told_as_the_report_counts_it(
    store: Store, look: Look, engine: StoreLock, tmp_path: Path
) -> None:
    with store.batch() as batch:
        head(batch)
        execute(batch, "e1", S.MINED)
    assert rules(look()) == []
    other = sqlite3.connect(tmp_path / "live.sqlite")
    with other:
        other.execute("UPDATE settlement SET gas_used = gas_used + 1")
    other.close()
    (alarm,) = look().standing
    assert (alarm.rule, alarm.urgent) == ("unreconciled", True)
    assert "e1" in alarm.text
    assert "altered after it was written" in alarm.text


def test_sending_stopped_by_a_person(store: Store, look: Look, engine: StoreLock, tmp_path: Path) -> None:
    from arbtui.store import CommandPost

    with store.batch() as batch:
        head(batch)
    with CommandPost(tmp_path, "live") as post:
        paused = post.post("pause", {"by": "a<b>"})
        resumed = post.post("resume", {})
    with store.batch() as batch:
        batch.command_taken(paused, "paused")
    assert only(look()) == "sending is stopped by pause (by a(b))"
    with store.batch() as batch:
        batch.command_taken(resumed, "goes on")
    assert rules(look()) == []


def test_a_summary_once_a_day(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
        execute(batch, "e1", S.MINED)
    day = 86_400.0
    at_seven = 19 * 3_600  # START is at noon
    assert rules(look(at_seven - 60, summary_hour=7, stale_blocks=10_000)) == []
    found = look(at_seven + 60, summary_hour=7, stale_blocks=10_000).events
    assert [a.rule for a in found] == ["summary"]
    assert "1 executions, 100% succeeded" in found[0].text
    assert rules(look(at_seven + 120, summary_hour=7, stale_blocks=10_000)) == []
    assert [a.rule for a in look(at_seven + day, summary_hour=7).events] == ["summary"]


def test_a_rule_that_is_off_is_off(store: Store, look: Look) -> None:
    with store.batch() as batch:
        head(batch, balance=0)
    assert rules(look()) == ["engine_stopped", "low_gas"]
    assert rules(look(off=("low_gas",))) == ["engine_stopped"]
    with pytest.raises(ValueError, match="there is no rule"):
        AlertsPolicy(off=("nonsense",))


def test_a_flood_is_taken_up_in_pages(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    with store.batch() as batch:
        for number in range(10_000):
            batch.incident("reorg", str(number))
    counts = [len(look().events) for _ in range(3)]
    assert counts == [5_000, 5_000, 0]


def test_a_stopped_account_stands_until_acknowledged_and_each_stop_is_told(
    store: Store, look: Look, engine: StoreLock, tmp_path: Path
) -> None:
    from arbtui.store import CommandPost

    with store.batch() as batch:
        head(batch)
        batch.incident("stopped", "why", execution_id="e1", at=make.at(1))
    first = look().standing[0]
    assert (first.rule, first.urgent) == ("stopped", True)
    with CommandPost(tmp_path, "live") as post:
        number = post.post("acknowledge", {})
    store._clock = lambda: make.at(2)
    with store.batch() as batch:
        batch.command_taken(number, "acknowledged")
    assert rules(look()) == []
    with store.batch() as batch:
        batch.incident("stopped", "again", execution_id="e1", at=make.at(3))
    found = look()
    assert rules(found) == ["stopped"]
    assert found.standing[0].subject != first.subject


def test_a_nonce_gap_filled_while_the_account_is_stopped_acknowledges_nothing(
    store: Store, look: Look, engine: StoreLock
) -> None:
    with store.batch() as batch:
        head(batch)
        batch.incident("stopped", "why", execution_id="e1", at=make.at(1))
        make.fill_gap(batch, "gap7-e1-12", 7, make.at(2), make.at(3))
    assert [alarm.rule for alarm in look().standing] == ["stopped"]
    with store.batch() as batch:
        batch.execution("x2", make.ticket(), S.PREPARED, decided_at=make.at(4))
    assert "stopped" not in [alarm.rule for alarm in look().standing]


@pytest.mark.parametrize("metrics", [True, False])
def test_a_stop_acknowledged_while_no_engine_runs_ends_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, metrics: bool
) -> None:
    make.config_file(tmp_path)

    def acknowledge() -> tuple[object, str]:
        with pytest.raises(SystemExit) as end:
            main(["recover", "--acknowledge", "--config", str(tmp_path / "arbtui.toml")])
        return end.value.code, capsys.readouterr().out

    def standing() -> list[str]:
        with open_store(tmp_path) as reader:
            return [
                alarm.rule
                for alarm in Lookout(reader, AlertsPolicy(), now=lambda: make.at(NOW)).look({}).standing
            ]

    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET) as journal:
        journal.stop("why", "e1")
    if metrics:
        with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
            store.start_run(make.run_info())
            with store.batch() as batch:
                head(batch)
                batch.incident("stopped", "why", execution_id="e1")
        assert "stopped" in standing()
    assert acknowledge() == (0, "acknowledged\n")
    if metrics:
        assert "stopped" not in standing()
        with open_store(tmp_path) as reader:
            (row,) = reader.query("SELECT * FROM command")
        assert (row["kind"], row["result"], row["run"]) == ("acknowledge", "acknowledged", None)
        assert "command line" in row["argument"]
        with Store.open(tmp_path, "live") as store:
            assert store.commands() == [], "no engine takes it up again"
    assert acknowledge() == (1, "refused: the account is not stopped\n")


def test_what_the_journal_acknowledged_is_so_where_the_store_cannot_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make.config_file(tmp_path)
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET) as journal:
        journal.stop("why", "e1")
    (tmp_path / "live.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(SystemExit) as end:
        main(["recover", "--acknowledge", "--config", str(tmp_path / "arbtui.toml")])
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (0, "acknowledged\n")
    assert told.err.startswith("the store could not be told: ")
    with SqliteJournal(tmp_path, make.CHAIN_ID, make.WALLET) as journal:
        assert journal.stopped() is None


def test_a_stop_that_nobody_saw_stand_is_told_all_the_same(
    store: Store, look: Look, engine: StoreLock
) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    with store.batch() as batch:
        batch.incident("stopped", "why", execution_id="e1", at=make.at(1))
        execute(batch, "e2", S.MINED, decided=5)
    found = look()
    assert [a.rule for a in found.events] == ["stopped"]
    assert found.standing == []


def node(batch: Batch, name: str, state: str) -> None:
    batch.node(
        name, state, "no answer", head=1, lag=0, latency_ms=1.0, calls=1, failures=0, refusals={},
        disagreements=0, unknown_blocks=0,
    )  # fmt: skip


def test_each_node_stands_for_itself_and_ends(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    with store.batch() as batch:
        node(batch, "alpha", "down")
        node(batch, "beta", "ok")
        batch.incident("node", "alpha is down: no answer")
        batch.incident("node", "beta is disagreeing")
        batch.incident(
            "disagree", "a ticket: only beta of 2 nodes answered, 2 have to agree. Silent: alpha: x"
        )
    found = look()
    assert [a.text for a in found.standing] == ["alpha is down: no answer"]
    assert [(a.level.name, a.rule) for a in found.events] == [("WARNING", "node"), ("ERROR", "node")]
    assert found.events[0].subject == "node beta"
    assert "only beta of 2 nodes answered" in found.events[1].text
    with store.batch() as batch:
        node(batch, "alpha", "ok")
        batch.incident("node", "alpha is ok")
    assert rules(look()) == []


def test_pools_and_executions_are_told_apart(store: Store, look: Look, engine: StoreLock) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    with store.batch() as batch:
        batch.incident("market", f"pool {make.POOL_A} drifted: x")
        batch.incident("market", f"pool {make.POOL_B} drifted: x")
        batch.incident("gap", "x", execution_id="e1")
        batch.incident("gap", "x", execution_id="e2")
    assert len({a.key for a in look().events}) == 4


def test_an_engine_that_was_stopped_is_still_so_for_a_watch_begun_anew(store: Store, look: Look) -> None:
    with store.batch() as batch:
        head(batch)
    look(NOW)
    store._clock = lambda: make.at(NOW + 1)
    store.end_run()
    assert only(look(NOW + 2)) == "the engine was stopped"
    assert only(look(NOW + 300)) == "the engine was stopped", "each look is of a new watch"


def test_a_loss_whose_settlement_comes_later_is_told_once(
    store: Store, look: Look, engine: StoreLock
) -> None:
    with store.batch() as batch:
        head(batch)
    look()
    ticket = make.ticket("t1")
    with store.batch() as batch:
        batch.ticket(ticket, {})
        batch.decision(make.decision(ticket.id))
        batch.execution("e1", ticket, S.PREPARED, decided_at=make.at(1), nonce=41)
        batch.execution_moved("e1", S.PREPARED, S.SUBMITTED, "handed to the node", make.at(2))
        batch.execution_moved("e1", S.SUBMITTED, S.MINED, "told", make.at(3))
    assert rules(look()) == []
    with store.batch() as batch:
        batch.settlement(make.settlement("e1", gross=1), make.ROLES, make.TOKENS)
    assert rules(look()) == ["loss"]
    assert rules(look()) == []
