from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arbtui.domain import (
    AttemptKind,
    ClosedBy,
    Closing,
    ConversionRate,
    DecisionKind,
    Delivery,
    ExecutionStatus,
    Stage,
)
from arbtui.errors import StoreError
from arbtui.execution.ports import OpenExecution
from arbtui.store import Batch, Store, StoreReader, migrations, open_store
from arbtui.store.database import family_of
from arbtui.store.driver import sqlite3
from arbtui.units import ETHER, UINT256_MAX, Wei
from arbtui.validation import Ranked
from tests import factories as make

S = ExecutionStatus
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path, "live", clock=make.Ticking(0.25)) as opened:
        opened.start_run(make.run_info())
        yield opened


@pytest.fixture
def reader(store: Store, tmp_path: Path) -> Iterator[StoreReader]:
    with open_store(tmp_path) as opened:
        yield opened


def ticketed(batch: Batch, name: str = "t1") -> None:
    batch.block(make.block_ref(), 40, 96, 3.5)
    batch.ticket(make.ticket(name, make.opportunity(12 * ETHER + len(name) + ord(name[-1]))), make.WHY_LOST)


def executed(batch: Batch, name: str = "e1", ticket: str = "t1") -> None:
    ticketed(batch, ticket)
    batch.decision(make.decision(ticket), make.checks())
    found = make.ticket(ticket, make.opportunity(12 * ETHER + len(ticket) + ord(ticket[-1])))
    batch.execution(name, found, S.PREPARED, decided_at=make.at(10), nonce=41)
    batch.attempt(make.attempt(name))


def landed(batch: Batch, name: str = "e1", success: bool = True) -> None:
    batch.attempt(make.attempt(name, delivery=Delivery.DELIVERED))
    batch.execution_moved(name, S.PREPARED, S.SUBMITTED, "sent", make.at(11))
    batch.execution_moved(name, S.SUBMITTED, S.MINED if success else S.REVERTED, "receipt", make.at(14.5))
    batch.settlement(make.settlement(name, success=success), make.ROLES, make.TOKENS)


def test_run_and_block_round_trip(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        batch.block(make.block_ref(base_fee_per_gas=2**70), 40, 96, 3.5)
    store.end_run()
    (run,) = reader.runs()
    assert (run["id"], run["stage"], run["chain_id"], run["seed"]) == ("r1", "live", make.CHAIN_ID, 7)
    assert run["started_at"] == make.at()
    assert run["ended_at"] is not None
    (block,) = reader.blocks()
    assert block["hash"] == make.block_ref().hash
    assert (block["base_fee_per_gas"], block["pools"], block["cycles"]) == (str(2**70), 40, 96)
    assert block["elapsed_ms"] == 3.5


def test_two_blocks_of_one_number_are_both_kept_after_a_reorg(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        for fork in (0, 1, 1):
            batch.block(make.block_ref(fork=fork), 1, 2, 0.5)
    assert len(reader.blocks()) == 2


def test_dropped_round_trip_keeps_every_no_explained(store: Store, reader: StoreReader) -> None:
    found = make.opportunity(amount_in=UINT256_MAX - 1, gross=1)
    checks = make.checks(failing="price_impact")
    with store.batch() as batch:
        batch.dropped(
            found,
            make.quotes(UINT256_MAX - 1),
            checks,
            "price_impact",
            net_wei=-5,
            moved_by=make.foreign_trade(),
        )
    row = reader.opportunity(found.id)
    assert row is not None
    assert (row["outcome"], row["reason"], row["net_wei"]) == ("dropped", "price_impact", "-5")
    assert (row["amount_in"], row["amount_out"]) == (str(UINT256_MAX - 1), str(UINT256_MAX))
    assert row["moved_by_tx"] == make.foreign_trade().tx_hash
    assert row["token"] == {"address": make.WETH.address, "symbol": "WETH", "decimals": 18}
    assert [hop["pool"] for hop in row["path"]] == [make.POOL_A, make.POOL_B]
    assert row["path"][0]["amount_in"] == str(UINT256_MAX - 1)
    assert [
        (c["check"], c["passed"], c["observed"], c["limit"], c["margin"], c["unit"]) for c in row["checks"]
    ] == [(c.check, c.passed, str(c.observed), str(c.limit), str(c.margin), c.unit) for c in checks]
    maker = next(quote for quote in row["quotes"] if quote["lender"] == "maker")
    assert (maker["usable"], maker["reason"], maker["fee"], maker["available"]) == (
        False,
        "token_not_supported",
        None,
        "0",
    )
    assert not any(quote["chosen"] for quote in row["quotes"])


def test_ticket_round_trip(store: Store, reader: StoreReader) -> None:
    ticket = make.ticket()
    with store.batch() as batch:
        batch.ticket(ticket, make.WHY_LOST)
        batch.decision(
            make.decision(kind=DecisionKind.STALE, reason="the pool moved"),
            make.checks(failing="profit"),
            make.foreign_trade(),
        )
    row = reader.ticket("t1")
    assert row is not None
    assert row["digest"] == ticket.digest
    assert row["calldata"] == "0x" + ticket.calldata.hex()
    assert len(row["calldata_hash"]) == 66
    assert row["expected_net_wei"] == str(ticket.expected_net_wei)
    assert row["ladder"]["steps"][1] == {
        "attempt": 2,
        "max_fee_per_gas": "52000000000",
        "max_priority_fee_per_gas": "3000000000",
        "after_s": 20.0,
        "worst_cost": str(52 * 10**9 * row["ladder"]["gas_limit"]),
        "guaranteed_blocks": 7,
        "guaranteed_until": 18_806_168,
        "observed_share": 0.9,
    }
    assert (row["ladder"]["ceiling"], row["ladder"]["capped"], row["ladder"]["why"]) == (
        "60000000000",
        False,
        "",
    )
    assert (row["simulated_block"], row["simulated_hash"]) == (make.HEAD, make.block_ref().hash)
    assert [(quote["lender"], quote["chosen"], quote["why_lost"]) for quote in row["quotes"]] == [
        ("balancer_v2", True, ""),
        ("aave_v3", False, make.WHY_LOST[make.LenderId.AAVE_V3]),
        ("aave_v2", False, "fee 9 bps"),
        ("maker", False, "lends DAI only"),
    ]
    assert [(check["phase"], check["check"], check["passed"]) for check in row["checks"]] == [
        ("ticket", "profit", True),
        ("ticket", "price_impact", True),
        ("ticket", "age", True),
        ("send", "profit", False),
        ("send", "price_impact", True),
        ("send", "age", True),
    ]
    (decided,) = row["decisions"]
    assert (decided["kind"], decided["moved_by_pool"], decided["moved_by_log_index"]) == (
        "stale",
        make.POOL_A,
        7,
    )
    (listed,) = reader.tickets()
    assert (listed["decision"], listed["decision_reason"]) == ("stale", "the pool moved")


def test_a_ticket_told_twice_is_one_and_never_another(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        batch.ticket(make.ticket(), make.WHY_LOST)
        batch.ticket(make.ticket(), make.WHY_LOST)
        batch.dropped(make.opportunity(), (), (), "age")  # seen again in the same block
    assert len(reader.tickets()) == 1
    assert reader.opportunities()[0]["outcome"] == "ticket"
    with pytest.raises(StoreError, match="another digest"), store.batch() as batch:
        batch.ticket(make.ticket(digest=make.word("other")), make.WHY_LOST)


def test_execution_round_trip(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        executed(batch)
        landed(batch)
        batch.attempt(
            make.attempt(number=2, kind=AttemptKind.CANCEL, delivery=Delivery.REJECTED, error="underpriced")
        )
        batch.incident(
            "send", "see https://rpc.example/secret-key", error_class="underpriced", execution_id="e1"
        )
    row = reader.execution("e1")
    assert row is not None
    settled = make.settlement()
    assert {
        key: row[key] for key in ("id", "ticket", "status", "lender", "tx_hashes", "gas_used", "reconciled")
    } == {
        "id": "e1",
        "ticket": "t1",
        "status": "mined",
        "lender": "balancer_v2",
        "tx_hashes": [make.attempt().tx_hash, make.attempt(number=2).tx_hash],
        "gas_used": 300_000,
        "reconciled": True,
    }
    assert row["net_profit"] == str(settled.net_wei)
    assert row["tx_hash"] == settled.tx_hash
    assert (row["decided_at"], row["sent_at"], row["mined_at"]) == (make.at(10), make.at(11), make.at(14.5))
    assert row["seconds"] == 4.5
    assert [(event["from_status"], event["to_status"]) for event in row["events"]] == [
        ("", "prepared"),
        ("prepared", "submitted"),
        ("submitted", "mined"),
    ]
    assert [attempt["delivery"] for attempt in row["attempts"]] == ["delivered", "rejected"]
    assert row["attempts"][0]["max_fee_per_gas"] == str(make.attempt().max_fee_per_gas)
    assert [(d["role"], d["token"]["symbol"], d["amount"]) for d in row["settlement"]["deltas"]] == [
        ("treasury", "WETH", str(ETHER // 10)),
        ("wallet", "ETH", str(-settled.gas_cost)),
    ]
    (incident,) = reader.incidents()
    assert "secret-key" not in incident["detail"]
    assert reader.check() == []
    assert reader.funnel()[0]["mined"] == 1


def test_every_row_carries_its_run_and_block(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        executed(batch)
        landed(batch)
        batch.incident("send", "x")
    for table in ("opportunity", "loan_quote", "check_result", "ticket", "decision", "execution",
                  "execution_event", "attempt", "settlement", "settlement_delta", "incident"):  # fmt: skip
        rows = reader.query(f"SELECT run, block FROM {table}")  # noqa: S608
        assert rows, table
        assert all(row["run"] == "r1" and row["block"] >= make.HEAD for row in rows), table


def test_a_reorg_takes_the_settlement_out_and_the_next_receipt_puts_it_in(
    store: Store, reader: StoreReader
) -> None:
    with store.batch() as batch:
        executed(batch)
        landed(batch)
        batch.execution_moved("e1", S.MINED, S.SUBMITTED, "reorg", make.at(20))
    assert reader.settlements() == []
    row = reader.execution("e1")
    assert row is not None
    assert (row["net_profit"], row["gas_used"], row["mined_at"], row["sent_at"]) == (
        None,
        None,
        None,
        make.at(11),
    )
    with store.batch() as batch:
        batch.execution_moved("e1", S.SUBMITTED, S.MINED, "receipt", make.at(30))
        batch.settlement(make.settlement(gas_used=310_000), make.ROLES, make.TOKENS)
    (settled,) = reader.settlements()
    assert settled["gas_used"] == 310_000
    assert len(settled["deltas"]) == 2
    assert settled["sealed"]


def test_an_exception_rolls_the_whole_batch_back(store: Store, reader: StoreReader) -> None:
    class Stop(Exception):
        pass

    def write_and_fail() -> None:
        with store.batch() as batch:
            executed(batch)
            landed(batch)
            batch.incident("send", "x")
            raise Stop

    with pytest.raises(Stop):
        write_and_fail()
    for table in (
        "block",
        "opportunity",
        "ticket",
        "execution",
        "execution_event",
        "settlement_delta",
        "incident",
    ):
        assert reader.query(f"SELECT * FROM {table}") == [], table  # noqa: S608
    with store.batch() as batch:  # the store is as good as before
        executed(batch)
    assert [row["id"] for row in reader.executions()] == ["e1"]


def test_place_rate_and_ending_of_an_opportunity_round_trip(store: Store, reader: StoreReader) -> None:
    rate = ConversionRate(make.DAI, 2_500, 3, make.HEAD, (make.POOL_A, make.POOL_B))
    found = make.opportunity()
    trade = make.foreign_trade()
    ended = Closing(
        found.id,
        found.path.id,
        make.HEAD - 3,
        make.HEAD,
        make.HEAD + 1,
        10**30,
        ClosedBy.FOREIGN,
        trade,
        tx_index=4,
        sender=make.TREASURY,
        tip_per_gas=Wei(2**70),
    )
    with store.batch() as batch:
        batch.block(make.block_ref(), 40, 96, 3.5, paying=9, unrecorded=2)
        batch.dropped(found, (), (), "gas_cost", ranked=Ranked(found, rate, 5, 6, 7, "better"), place=3)
        batch.closing(replace(ended, tip_per_gas=None, sender=None))
        batch.closing(ended)
    (block,) = reader.blocks()
    assert (block["paying"], block["unrecorded"]) == (9, 2)
    row = reader.opportunity(found.id)
    assert row is not None
    assert (row["place"], row["behind"]) == (3, "better")
    assert (row["rate_numerator"], row["rate_denominator"]) == ("2500", "3")
    assert row["rate_pools"] == [make.POOL_A, make.POOL_B]
    told = row["closing"]
    assert (told["tx"], told["pool"], told["log_index"]) == (trade.tx_hash, trade.pool, trade.log_index)
    assert (told["tx_index"], told["sender"], told["tip_per_gas"]) == (4, make.TREASURY, str(2**70))
    (listed,) = reader.closings()
    assert listed["net_wei"] == str(10**30)
    assert listed["path"] == row["path"]
    assert reader.closings(since=make.at(10**6)) == []


def test_a_refused_row_rolls_back_what_came_before_it(store: Store, reader: StoreReader) -> None:
    def write() -> None:
        with store.batch() as batch:
            ticketed(batch)
            batch.decision(make.decision("no-such-ticket"))

    with pytest.raises(StoreError, match="FOREIGN KEY"):
        write()
    assert reader.tickets() == []


def test_readers_see_a_batch_only_once_it_is_committed(store: Store, reader: StoreReader) -> None:
    before = reader.data_version()
    with store.batch() as batch:
        ticketed(batch)
        assert reader.tickets() == []
        assert reader.data_version() == before
    assert len(reader.tickets()) == 1
    assert reader.data_version() != before


@pytest.mark.parametrize("table", ["execution_event"])
@pytest.mark.parametrize("sql", ["UPDATE {} SET reason = 'no'", "DELETE FROM {}"])
def test_the_event_log_refuses_changes(store: Store, tmp_path: Path, table: str, sql: str) -> None:
    with store.batch() as batch:
        executed(batch)
    other = sqlite3.connect(tmp_path / "live.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(sql.format(table))
    other.close()


@pytest.mark.parametrize("text", ["", "-", "1.5", "1e18", "007", "-0", "0x10", "--5", "5-", " 5"])
def test_amounts_are_whole_numbers_or_refused(store: Store, tmp_path: Path, text: str) -> None:
    with store.batch() as batch:
        executed(batch)
        landed(batch)
    other = sqlite3.connect(tmp_path / "live.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        other.execute("UPDATE settlement SET net_wei = ?", (text,))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        other.execute("UPDATE settlement SET gas_cost = ?", (text,))
    for good in ("0", "5", "-5", str(-UINT256_MAX)):
        other.execute("UPDATE settlement SET net_wei = ?", (good,))
    other.close()


@pytest.mark.parametrize(
    "text", ["2026-07-04", "2026-07-04T12:00:00+00:00", "1783166400", "2026-07-04 12:00:00.000000"]
)
def test_times_are_of_one_shape_or_refused(store: Store, text: str) -> None:
    with pytest.raises(StoreError, match="CHECK"), store.batch() as batch:
        batch.incident("send", "x", at=text)


def test_real_twins_order_what_text_would_not(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        for amount in (9, 10 * ETHER, 2 * ETHER, UINT256_MAX // 2):
            batch.dropped(make.opportunity(amount), (), (), "age")
    rows = reader.query("SELECT amount_in FROM opportunity ORDER BY amount_in_real")
    assert [int(row["amount_in"]) for row in rows] == [9, 2 * ETHER, 10 * ETHER, UINT256_MAX // 2]


def test_what_only_the_journal_knows_is_adopted(store: Store, reader: StoreReader) -> None:
    attempts = (make.attempt("lost", delivery=Delivery.DELIVERED),)
    with store.batch() as batch:
        ticketed(batch)
        batch.adopt(OpenExecution(make.intent("lost", "t1"), S.SUBMITTED, attempts))
        batch.adopt(OpenExecution(make.intent("stray", "t?"), S.PREPARED, ()))
    assert store.unfinished() == ["lost", "stray"]
    row = reader.execution("lost")
    assert row is not None
    assert (row["status"], row["lender"], row["expected_net_wei"], len(row["tx_hashes"])) == (
        "submitted",
        "balancer_v2",
        str(make.ticket().expected_net_wei),
        1,
    )
    stray = reader.execution("stray")
    assert stray is not None
    assert (stray["lender"], stray["expected_profit"]) == ("unknown", None)


def test_one_that_fell_behind_the_journal_is_brought_up(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        executed(batch)
    known = OpenExecution(make.intent(), S.MINED, (make.attempt(delivery=Delivery.DELIVERED),))
    for _ in range(2):
        with store.batch() as batch:
            batch.adopt(known)
    row = reader.execution("e1")
    assert row is not None
    assert (row["status"], len(row["events"])) == ("mined", 2)
    assert store.unfinished() == []
    assert store.unsettled() == ["e1"]


def test_a_move_of_an_unknown_execution_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="e9 is not here"), store.batch() as batch:
        batch.execution_moved("e9", S.PREPARED, S.SUBMITTED, "sent")


def test_a_paper_execution_needs_no_attempt(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        ticketed(batch)
        batch.execution("p1", make.ticket(), S.PAPER, decided_at=make.at())
    (row,) = reader.executions()
    assert (row["status"], row["tx_hashes"], row["net_profit"], row["reconciled"]) == (
        "paper",
        [],
        None,
        False,
    )


def test_the_expectation_of_the_send_takes_the_tickets_place(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        ticketed(batch)
        batch.execution("e1", make.ticket(), S.PREPARED, expected_profit=5, expected_net_wei=-7)
        batch.execution_moved("e1", S.PREPARED, S.REJECTED, "refused", error_class="underpriced")
    (row,) = reader.executions()
    assert (row["expected_profit"], row["expected_net_wei"], row["error_class"]) == ("5", "-7", "underpriced")


def test_an_unknown_token_of_a_delta_is_shown_by_its_address(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        executed(batch)
        batch.execution_moved("e1", S.PREPARED, S.MINED, "receipt")
        batch.settlement(make.settlement(), make.ROLES, {})
    symbols = [delta["token"]["symbol"] for delta in reader.settlements()[0]["deltas"]]
    assert symbols == [make.WETH.address, "ETH"]


def test_the_same_opportunity_in_two_runs_is_two_rows(store: Store, reader: StoreReader) -> None:
    with store.batch() as batch:
        batch.dropped(make.opportunity(), make.quotes(), make.checks(), "age")
    store.start_run(make.run_info("r2"))
    with store.batch() as batch:
        batch.dropped(make.opportunity(), make.quotes(), make.checks(), "age")
    assert [row["run"] for row in reader.opportunities()] == ["r2", "r1"]


def test_nothing_is_written_before_a_run(tmp_path: Path) -> None:
    with Store.open(tmp_path, "paper") as store, pytest.raises(StoreError, match="no run"), store.batch():
        pass


def test_stages_have_their_file() -> None:
    assert [family_of(stage) for stage in Stage] == ["paper", "paper", "live", "live"]


# ---- what can be wrong with the file: one line, what, where, how to mend it


def is_one_line_about(error: pytest.ExceptionInfo[StoreError], path: Path) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    assert error.value.exit_code == 3
    return text


Opener = Callable[[Path], Any]
OPENERS: list[Opener] = [
    lambda directory: Store.open(directory, "live"),
    lambda directory: Store.open(directory, "live", create=False),
    open_store,
]


@pytest.mark.parametrize("opener", OPENERS[1:])
def test_missing(tmp_path: Path, opener: Opener) -> None:
    with pytest.raises(StoreError) as error:
        opener(tmp_path / "nowhere")
    assert "arbtui run" in is_one_line_about(error, tmp_path / "nowhere" / "live.sqlite")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("opener", OPENERS)
def test_a_directory_in_the_files_place(tmp_path: Path, opener: Opener) -> None:
    (tmp_path / "live.sqlite").mkdir()
    with pytest.raises(StoreError) as error:
        opener(tmp_path)
    assert "is not a file" in is_one_line_about(error, tmp_path / "live.sqlite")


@pytest.mark.parametrize("opener", OPENERS)
def test_a_file_in_the_directorys_place(tmp_path: Path, opener: Opener) -> None:
    (tmp_path / "store").write_text("x")
    with pytest.raises(StoreError) as error:
        opener(tmp_path / "store")
    is_one_line_about(error, tmp_path / "store")


@pytest.mark.parametrize("opener", OPENERS)
def test_not_a_database(tmp_path: Path, opener: Opener) -> None:
    path = tmp_path / "live.sqlite"
    path.write_bytes(b"[store]\ndirectory = 'here'\n" * 200)
    before = path.read_bytes()
    with pytest.raises(StoreError) as error:
        opener(tmp_path)
    assert "not an SQLite database" in is_one_line_about(error, path)
    assert path.read_bytes() == before


def test_a_foreign_database_is_not_read(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "live.sqlite")
    other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(StoreError) as error:
        open_store(tmp_path)
    assert "not a store of ARBTUI" in is_one_line_about(error, tmp_path / "live.sqlite")


@pytest.mark.parametrize("opener", OPENERS)
def test_a_newer_schema(store: Store, tmp_path: Path, opener: Opener) -> None:
    other = sqlite3.connect(tmp_path / "live.sqlite")
    with other:
        other.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('metrics', '0999_later', 'x')"
        )
    other.close()
    with pytest.raises(StoreError) as error:
        opener(tmp_path)
    text = is_one_line_about(error, tmp_path / "live.sqlite")
    assert "newer ARBTUI" in text
    assert "0999_later" in text


NAMES = [file.stem for file in migrations._files(migrations.METRICS)]


@pytest.mark.parametrize("newest", NAMES[:-1])
def test_an_older_schema_is_not_read_but_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: str
) -> None:
    """A file of every schema there ever was, with a run in it: refused by readers, brought up by an engine."""
    every = migrations._files(migrations.METRICS)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_files", lambda _: every[: NAMES.index(newest) + 1])
        patch.setattr(migrations, "_migrations", migrations._migrations.__wrapped__)
        with Store.open(tmp_path, "live") as old:
            old.start_run(make.run_info())
    with pytest.raises(StoreError) as error:
        open_store(tmp_path)
    assert "db migrate" in is_one_line_about(error, tmp_path / "live.sqlite")
    Store.open(tmp_path, "live").close()
    with open_store(tmp_path) as reader:
        assert [run["id"] for run in reader.runs()] == ["r1"]
        assert migrations.schema(reader._connection) == (ROOT / "db" / "schema.sql").read_text("utf-8")


def test_a_damaged_file(store: Store, tmp_path: Path) -> None:
    with store.batch() as batch:
        for number in range(200):
            batch.dropped(make.opportunity(ETHER + number), make.quotes(), make.checks(), "age")
    store.close()
    path = tmp_path / "live.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * 4096 * 8 + whole[4096 * 9 : len(whole) // 2])
    with pytest.raises(StoreError) as error, open_store(tmp_path) as reader:
        reader.opportunities()
    assert "damaged" in is_one_line_about(error, path)


def test_locked(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arbtui.store.driver.BUSY_TIMEOUT_MS", 50)
    with Store.open(tmp_path, "live", create=False) as second:
        second._connection.execute("PRAGMA busy_timeout = 50")
        with store.batch(), pytest.raises(StoreError) as error:
            second.start_run(make.run_info("r2"))
    assert "locked by another process" in is_one_line_about(error, tmp_path / "live.sqlite")


def test_a_file_that_has_become_read_only_loses_the_batch_and_nothing_else(
    store: Store, reader: StoreReader, tmp_path: Path
) -> None:
    with store.batch() as batch:
        ticketed(batch)
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError) as error, store.batch() as batch:
        executed(batch, ticket="t2")
    assert "read-only" in is_one_line_about(error, tmp_path / "live.sqlite")
    store._connection.execute("PRAGMA query_only = OFF")
    assert [row["id"] for row in reader.tickets()] == ["t1"]
    with store.batch() as batch:
        executed(batch, ticket="t2")
    assert len(reader.tickets()) == 2


def test_a_full_disk_loses_the_batch_and_nothing_else(
    store: Store, reader: StoreReader, tmp_path: Path
) -> None:
    with store.batch() as batch:
        ticketed(batch)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    def fill() -> None:
        with store.batch() as batch:
            for number in range(500):
                batch.dropped(make.opportunity(ETHER + number), make.quotes(), make.checks(), "age")

    with pytest.raises(StoreError) as error:
        fill()
    assert "disk is full" in is_one_line_about(error, tmp_path / "live.sqlite")
    assert len(reader.opportunities()) == 1
    store._connection.execute("PRAGMA max_page_count = 1000000")
    fill()
    assert len(reader.opportunities(limit=1_000)) == 501


def test_writes_are_synced_and_keys_enforced(store: Store) -> None:
    def pragma(name: str) -> object:
        return store._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert (pragma("journal_mode"), pragma("synchronous"), pragma("foreign_keys")) == ("wal", 2, 1)
    assert pragma("busy_timeout") == 5_000


def test_ladders_and_paths_are_valid_json_with_text_amounts(store: Store, reader: StoreReader) -> None:
    ticket = make.ticket(ladder=replace(make.ladder(), worst_cost=2**100))
    with store.batch() as batch:
        batch.ticket(ticket, {})
    (row,) = reader.query("SELECT ladder, worst_cost FROM ticket")
    assert json.loads(row["ladder"])["worst_cost"] == row["worst_cost"] == str(2**100)
