"""Back-up, export, pruning: nothing that counts is lost, and every refusal is one line."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from arbtui.analysis.export import export_parquet
from arbtui.cli import main
from arbtui.domain import Delta, ExecutionStatus, LenderId, Token
from arbtui.engine.engine import Engine
from arbtui.errors import StoreError, UsageError
from arbtui.monitor import build_report
from arbtui.store import Store, StoreLock, open_store
from arbtui.store.alerts import AlertStore
from arbtui.store.discovered import MarketStore
from arbtui.store.driver import open_writer, sqlite3, transaction
from arbtui.store.upkeep import Retention, backup_file, export_csv, inert, prune, relations
from arbtui.units import ETHER
from tests import factories as make
from tests import trading

LATER = date(2026, 8, 1)


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("traded") / "store"
    with Store.open(where, "live", clock=make.Ticking(300)) as store:
        store.start_run(make.run_info())
        trading.trade(store)
    return where


@pytest.fixture
def folder(traded: Path, tmp_path: Path) -> Path:
    """A store of one's own with two days of trading."""
    return Path(shutil.copytree(traded, tmp_path / "store"))


def report(folder: Path, **window: Any) -> dict[str, Any]:
    with open_store(folder) as reader:
        found = build_report(reader, now=make.at(10**6), **window)
    for entry in found["times"].values():
        if entry is not None:
            entry.pop("count")
    return found


def funnel(folder: Path) -> list[dict[str, Any]]:
    with open_store(folder) as reader:
        return reader.funnel()


def test_pruning_changes_no_figure_of_the_report(folder: Path) -> None:
    before, seen = report(folder), funnel(folder)
    with open_store(folder) as reader:
        kept = {
            name: len(reader.query(f"SELECT * FROM {name}"))  # noqa: S608
            for name in ("ticket", "decision", "execution", "execution_event", "settlement", "settlement_delta",
                         "incident", "attempt")
        }  # fmt: skip
        of_tickets = reader.query("SELECT count(*) AS n FROM check_result WHERE subject_kind = 'ticket'")
    days = list(prune(folder / "live.sqlite", LATER, vacuum=True))
    assert (
        sum(day.opportunities for day in days)
        == before["dropped"]["gas_cost"] + before["dropped"]["liquidity"] + (before["dropped"]["shared_pool"])
    )
    assert len(days) >= 2
    assert report(folder) == before
    assert funnel(folder) == seen
    with open_store(folder) as reader:
        assert reader.check() == []
        assert reader.opportunities(outcome="dropped") == []
        for name, count in kept.items():
            assert len(reader.query(f"SELECT * FROM {name}")) == count, name  # noqa: S608
        assert (
            reader.query("SELECT count(*) AS n FROM check_result WHERE subject_kind = 'ticket'") == of_tickets
        )
        assert reader.ticket("t1") is not None
    assert list(prune(folder / "live.sqlite", LATER)) == [], "once is enough"


def test_closings_of_what_was_dropped_stay_in_sum(tmp_path: Path) -> None:
    from arbtui.domain import ClosedBy, Closing

    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            for number in range(4):
                found = make.opportunity(ETHER + number)
                batch.dropped(found, make.quotes(), make.checks(), "place", net_wei=10**30 + number)
                by = ClosedBy.FOREIGN if number else ClosedBy.NOBODY
                sender = make.address(9) if number else None
                batch.closing(
                    Closing(
                        found.id, found.path.id, 1, 2, 3, 10**30 + number, by, make.foreign_trade(), 0, sender
                    )
                )
    before = report(tmp_path)
    assert before["missed"]["closed"]["by"]["foreign"]["net_wei"] == str(3 * 10**30 + 6)
    (day,) = prune(tmp_path / "live.sqlite", LATER)
    assert (day.opportunities, day.closings, day.quotes, day.checks) == (4, 4, 16, 12)
    assert report(tmp_path)["missed"] == before["missed"]


def test_blocks_of_tickets_stay_and_the_others_are_counted(tmp_path: Path) -> None:
    with Store.open(tmp_path, "live", clock=make.Ticking()) as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            for number in range(5):
                batch.block(make.block_ref(make.HEAD + number), 40, 96, 3.5)
            batch.ticket(make.ticket("t1", make.opportunity(block=make.block_ref(make.HEAD + 2))), {})
    before, seen = report(tmp_path), funnel(tmp_path)
    (day,) = prune(tmp_path / "live.sqlite", LATER)
    assert (day.blocks, day.opportunities) == (4, 0)
    assert (report(tmp_path), funnel(tmp_path)) == (before, seen)
    assert seen[0]["blocks"] == 5
    with open_store(tmp_path) as reader:
        assert [row["number"] for row in reader.blocks()] == [make.HEAD + 2]


def test_only_whole_days_before_go_and_a_window_counts_days_it_holds(folder: Path) -> None:
    before = report(folder)
    (day,) = prune(folder / "live.sqlite", date(2026, 7, 5))
    assert day.day == "2026-07-04"
    assert report(folder) == before
    since = "2026-07-05T00:00:00.000000+00:00"
    early = report(folder, until=since)
    late = report(folder, since=since)
    assert {
        name: early["dropped"].get(name, 0) + late["dropped"].get(name, 0) for name in before["dropped"]
    } == before["dropped"]
    cut = report(folder, since="2026-07-04T12:30:00.000000+00:00", until=since)
    assert cut["dropped"] == {}, "a day that a window cuts is not guessed at"


def test_a_prune_that_is_broken_off_leaves_whole_days(folder: Path) -> None:
    """After each day's commit the sums are right; the generator is dropped in between."""
    before = report(folder)
    going = prune(folder / "live.sqlite", LATER)
    next(going)
    going.close()
    assert report(folder) == before


def of(folder: Path, name: str) -> list[dict[str, Any]]:
    with open_store(folder) as reader:
        return reader.query(f"SELECT * FROM {name} ORDER BY rowid")  # noqa: S608 - ours


@pytest.mark.parametrize("page", [1, 7, 1_000])
def test_an_engine_prunes_in_steps_to_what_pruning_by_hand_leaves(
    folder: Path, tmp_path: Path, page: int
) -> None:
    by_hand = Path(shutil.copytree(folder, tmp_path / "by_hand"))
    for _ in prune(by_hand / "live.sqlite", LATER):
        pass
    before, seen = report(folder), funnel(folder)
    with Store.open(folder, "live") as store:
        store._run = str(of(folder, "run")[0]["id"])
        keeping = Retention(store, 30, page)
        today = LATER + timedelta(days=30)
        steps, told = 0, None
        while keeping.due(today):
            assert told is None
            told = keeping.step(today)
            steps += 1
            if steps < 60 // page:
                # Half done, and exact all the same.
                assert (report(folder), funnel(folder)) == (before, seen)
        assert told is not None
        assert told.startswith("pruned ")
        assert steps >= 60 // page
        assert (report(folder), funnel(folder)) == (before, seen)
        for name in ("opportunity", "loan_quote", "check_result", "closing", "block", "ticket", "settlement"):
            assert of(folder, name) == of(by_hand, name), name
        key = ("run", "day", "kind", "name")
        assert sorted(of(folder, "rollup"), key=lambda row: [row[k] for k in key]) == sorted(
            of(by_hand, "rollup"), key=lambda row: [row[k] for k in key]
        )
        (row,) = [row for row in of(folder, "command") if row["kind"] == "prune"]
        assert (row["result"], json.loads(row["argument"])["before"]) == (told, LATER.isoformat())
        assert store.commands() == []
        # Once a day; and a clock that goes back makes no second one.
        assert not keeping.due(today)
        assert not keeping.due(today - timedelta(days=1))
        assert keeping.due(today + timedelta(days=1))
        assert keeping.step(today + timedelta(days=1)) is None
        assert len([row for row in of(folder, "command") if row["kind"] == "prune"]) == 1


def test_retention_keeps_its_days_and_goes_on_after_a_stop(folder: Path) -> None:
    before = report(folder)
    today = date(2026, 7, 6)
    with Store.open(folder, "live") as store:
        store._run = str(of(folder, "run")[0]["id"])
        Retention(store, 2, 5).step(today)
        assert of(folder, "rollup") == [], "no day is that old"
        for _ in range(3):
            Retention(store, 1, 5).step(today)  # an engine that dies after each step
        left = [row for row in of(folder, "opportunity") if row["outcome"] == "dropped"]
        assert len(left) > 0
        keeping = Retention(store, 1, 5)
        while keeping.due(today):
            keeping.step(today)
    days = {row["at"][:10] for row in of(folder, "opportunity") if row["outcome"] == "dropped"}
    assert days == {"2026-07-05"}
    assert {row["day"] for row in of(folder, "rollup")} == {"2026-07-04"}
    assert report(folder) == before


def test_a_block_of_a_clock_that_no_calendar_has_is_no_old_one(folder: Path) -> None:
    with Store.open(folder, "live") as store:
        store._run = str(of(folder, "run")[0]["id"])
        with store.batch() as batch:
            batch.block(make.block_ref(make.HEAD + 900, timestamp=2**60), 1, 1, 1.0)
        keeping = Retention(store, 1, 1_000)
        while keeping.due(LATER):
            keeping.step(LATER)
    assert max(row["timestamp"] for row in of(folder, "block")) == 2**60


@pytest.mark.parametrize(("head", "asked"), [(2**200, date(2026, 7, 9)), (86_400, date(1970, 1, 2))])
def test_an_engine_prunes_by_the_older_one_of_clock_and_newest_block(head: int, asked: date) -> None:
    days: list[date] = []

    class Keeping:
        def due(self, today: date) -> bool:
            days.append(today)
            return False

    class Clock:
        def utc(self) -> str:
            return "2026-07-09T12:00:00.000000+00:00"

        def monotonic(self) -> float:
            return 0.0

    engine = Engine.__new__(Engine)
    parts: dict[str, Any] = {
        "_retention": Keeping(), "_head": make.block_ref(timestamp=head), "_clock": Clock(), "_arrived": 0.0,
        "_sending": SimpleNamespace(flight=None), "_chain": SimpleNamespace(block_time_s=12.0),
    }  # fmt: skip
    for name, part in parts.items():
        setattr(engine, name, part)
    engine._prune()
    assert days == [asked]


def test_a_step_that_fails_is_not_tried_again_that_day(folder: Path) -> None:
    with Store.open(folder, "live") as store:
        store._run = str(of(folder, "run")[0]["id"])
        keeping = Retention(store, 1, 5)
        store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError):
            keeping.step(LATER)
        store._connection.execute("PRAGMA query_only = OFF")
        assert not keeping.due(LATER)
        assert keeping.due(LATER + timedelta(days=1))


def test_a_backup_taken_while_it_is_written_to_is_whole(folder: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with Store.open(folder, "live") as store:
            store.start_run(make.run_info("r2"))
            number = 0
            while not stop.is_set():
                number += 1
                with store.batch() as batch:
                    for extra in range(3):
                        found = make.opportunity(ETHER * 1_000 + number * 10 + extra)
                        batch.dropped(found, make.quotes(), make.checks(), "age")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = [backup_file(folder / "live.sqlite", tmp_path / f"copy{n}" / "live.sqlite") for n in range(0)]
        for number in range(3):
            place = tmp_path / f"copy{number}"
            place.mkdir()
            sizes.append(backup_file(folder / "live.sqlite", place / "live.sqlite"))
    finally:
        stop.set()
        writer.join()
    for number in range(3):
        with open_store(tmp_path / f"copy{number}") as reader:
            assert reader.check() == []
            (row,) = reader.query("SELECT count(*) AS n FROM opportunity WHERE run = 'r2'")
            assert row["n"] % 3 == 0, "no half of a batch"
        assert min(path.name for path in (tmp_path / f"copy{number}").iterdir()) == "live.sqlite"
        assert (tmp_path / f"copy{number}" / "live.sqlite").stat().st_mode & 0o777 == 0o600
    assert min(sizes) > 100_000


def test_a_backup_never_takes_the_place_of_a_file_and_leaves_no_half(folder: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine", "utf-8")
    with pytest.raises(UsageError, match="exists already"):
        backup_file(folder / "live.sqlite", taken)
    assert taken.read_text("utf-8") == "mine"
    with pytest.raises(StoreError):
        backup_file(folder / "live.sqlite", tmp_path / "no" / "such" / "folder")
    damaged = tmp_path / "damaged.sqlite"
    whole = (folder / "live.sqlite").read_bytes()
    damaged.write_bytes(whole[: 4096 * 4] + b"\xff" * 4096 * 20 + whole[4096 * 24 :])
    with pytest.raises(StoreError):
        backup_file(damaged, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("damaged.sqlite", "damaged.sqlite-shm", "damaged.sqlite-wal"),
        *("store", "taken"),
    ]


def test_export_has_every_row_of_every_table_and_view(folder: Path, tmp_path: Path) -> None:
    with open_store(folder) as reader:
        written = export_csv(reader, tmp_path / "csv")
        known = relations(reader)
        exported = export_parquet(reader, tmp_path / "parquet")
        executions = reader.query("SELECT * FROM v_execution")
    assert set(written) == set(exported) == set(known) >= {"settlement", "v_execution", "v_figures", "rollup"}
    assert written == exported
    with (tmp_path / "csv" / "v_execution.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["net_wei"] for line in lines] == [row["net_wei"] or "" for row in executions]
    frame = pl.read_parquet(tmp_path / "parquet" / "settlement.parquet")
    assert frame["net_wei"].dtype == pl.String
    assert frame["gas_used"].dtype == pl.Int64
    with open_store(folder) as reader:
        assert sum(int(net) for net in frame["net_wei"]) == sum(
            int(row["net_wei"]) for row in reader.settlements()
        )
    assert not any(name.endswith("_real") for name in known["settlement"])
    assert not list(tmp_path.rglob("*.part"))


def test_an_exported_name_is_no_formula(tmp_path: Path) -> None:
    with Store.open(tmp_path, "live") as store:
        store.start_run(make.run_info(chain="=HYPERLINK(1)"))
    with open_store(tmp_path) as reader:
        export_csv(reader, tmp_path / "csv", ("run",))
    with (tmp_path / "csv" / "run.csv").open(encoding="utf-8", newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["chain"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize(
    "symbol", ["-2+3+cmd|' /C calc'!A0", "-1-1", "--1", "+1", "@SUM(1)", "\n=1", "\uff1d1"]
)
def test_no_text_is_exported_as_a_formula(symbol: str) -> None:
    assert inert(symbol) == f"'{symbol}"


@pytest.mark.parametrize("value", ["-1", "-0", "-12.5", "-1.5e-07", -3, -1.5e-07, "WETH", "0x-1", None, ""])
def test_a_plain_number_is_exported_as_it_is(value: object) -> None:
    assert inert(value) == value


def test_a_hostile_symbol_is_no_formula_in_export_and_ledger(
    db: Db, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = Token(make.USDC.address, "-2+3+cmd|' /C calc'!A0", 6)
    with Store.open(folder, "live") as store:
        store.start_run(make.run_info("r2"))
        with store.batch() as batch:
            ticket = make.ticket("h1", make.opportunity(77, token=hostile), lender=LenderId.AAVE_V3)
            batch.ticket(ticket, {})
            batch.execution("h1", ticket, ExecutionStatus.PREPARED, decided_at=make.at())
            moved = (ExecutionStatus.PREPARED, ExecutionStatus.MINED)
            batch.execution_moved("h1", *moved, "told", make.at(3), error_class="=1+1")
            deltas = (Delta(make.TREASURY, hostile.address, -5),)
            told = make.settlement("h1", deltas=deltas, net_wei=-7)
            batch.settlement(told, make.ROLES, {hostile.address: hostile})
    with closing(open_writer(folder / "live.sqlite")) as other:
        other.execute("UPDATE settlement SET tx_hash = '=1+2' WHERE execution_id = 'h1'")
    db("export", tmp_path / "out")
    with pytest.raises(SystemExit):
        main(["report", "--csv", str(tmp_path / "ledger.csv"), "--config", str(tmp_path / "arbtui.toml")])
    capsys.readouterr()
    files = [*(tmp_path / "out").glob("*.csv"), tmp_path / "ledger.csv"]
    assert len(files) > 20
    assert "'=1+2" in (tmp_path / "ledger.csv").read_text("utf-8")
    cells = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            cells += [cell for row in csv.reader(file) for cell in row]
    assert f"'{hostile.symbol}" in cells
    assert "-7" in cells
    for cell in cells:
        if cell[:1] in ("=", "+", "-", "@"):
            float(cell)


def test_parquet_on_a_full_disk_is_one_line_and_leaves_no_half(folder: Path, tmp_path: Path) -> None:
    """What is written goes to a device that is always full."""
    where = tmp_path / "out"
    where.mkdir()
    (where / "ticket.parquet.part").symlink_to("/dev/full")
    with open_store(folder) as reader, pytest.raises(StoreError) as error:
        export_parquet(reader, where, ("ticket",))
    assert "no space left" in str(error.value)
    assert "\n" not in str(error.value)
    assert list(where.iterdir()) == []
    (where / "ticket.csv.part").symlink_to("/dev/full")
    with open_store(folder) as reader, pytest.raises(StoreError, match="no space left"):
        export_csv(reader, where, ("ticket",))
    assert list(where.iterdir()) == []


def test_a_backup_ends_however_fast_is_written(folder: Path, tmp_path: Path) -> None:
    source, stop, commits = folder / "live.sqlite", threading.Event(), [0]
    with closing(open_writer(source)) as filling, transaction(filling):
        filling.execute("CREATE TABLE filler (x BLOB)")
        filling.executemany("INSERT INTO filler VALUES (zeroblob(?))", [(2**20,)] * 48)

    def write() -> None:
        with closing(open_writer(source)) as other:
            other.execute("PRAGMA synchronous = OFF")
            while not stop.is_set():
                with transaction(other):
                    other.execute("UPDATE run SET seed = seed + 1")
                commits[0] += 1

    writer = threading.Thread(target=write)
    # A copy that only ends when the writing does is a failure, not a test that never ends.
    late = threading.Timer(8, stop.set)
    writer.start()
    late.start()
    try:
        size = backup_file(source, tmp_path / "copy.sqlite")
        in_time = not stop.is_set()
    finally:
        stop.set()
        late.cancel()
        writer.join()
    assert size > 48 * 2**20
    assert commits[0] > 0
    assert in_time


# ---- the command line


Db = Callable[..., tuple[Any, str, str]]


@pytest.fixture
def db(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Db]:
    weth = make.WETH.address
    (tmp_path / "arbtui.toml").write_text(
        f'[chain]\nname = "test"\nchain_id = 31337\nrpc_url = "http://127.0.0.1:1"\nwrapped_native = "{weth}"\n'
        f'[wallet]\naddress = "{make.WALLET}"\nexecutor = "{make.EXECUTOR}"\ntreasury = "{make.TREASURY}"\n'
        f'[store]\ndirectory = "store"\n[search]\nbase_tokens = ["WETH"]\n'
        f'[[tokens]]\naddress = "{weth}"\nsymbol = "WETH"\ndecimals = 18\n',
        "utf-8",
    )

    def call(*arguments: object) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(
                ["db", *(str(argument) for argument in arguments), "--config", str(tmp_path / "arbtui.toml")]
            )
        shown = capsys.readouterr()
        if stop.value.code:
            assert shown.err.count("\n") == 1, shown.err
        return stop.value.code, shown.out, shown.err

    return call


def test_the_commands(db: Db, folder: Path, tmp_path: Path) -> None:
    assert db("check") == (0, f"{folder / 'live.sqlite'}: ok\n", "")
    assert json.loads(db("check", "--json")[1])["files"]["live"]["ok"] is True
    assert db("backup", tmp_path / "copy.sqlite")[0] == 0
    other = sqlite3.connect(tmp_path / "copy.sqlite")
    assert other.execute("SELECT count(*) FROM execution").fetchone() == (60,)
    other.close()
    assert db("backup", tmp_path / "copy.sqlite")[0] == 2
    assert db("backup", tmp_path / "other.sqlite", "--family", "paper")[0] == 3
    code, out, _ = db("export", tmp_path / "out", "--json")
    assert (code, json.loads(out)["rows"]["execution"]) == (0, 60)
    assert db("export", tmp_path / "out", "--format", "parquet", "--table", "ticket")[0] == 0
    assert db("export", tmp_path / "out", "--table", "nonsense")[0] == 2
    code, out, _ = db("prune", "--older", "2026-08-01T00:00:00", "--json")
    assert (code, len(json.loads(out)["days"])) == (0, 2)
    assert "nothing before" in db("prune", "--older", "2026-08-01T00:00:00")[2]
    assert db("migrate")[0] == 0


def test_check_goes_through_every_file_and_names_what_is_wrong_with_each(
    db: Db, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> tuple[Any, dict[str, list[str]]]:
        with pytest.raises(SystemExit) as stop:
            main(["db", "check", "--json", "--config", str(tmp_path / "arbtui.toml")])
        shown = capsys.readouterr()
        assert shown.err == ""
        files = json.loads(shown.out)["files"]
        return stop.value.code, {name: told["problems"] for name, told in files.items()}

    Store.open(folder, "paper").close()
    AlertStore(folder, writing=True).close()
    MarketStore.open(folder, 31_337, "0x1").close()
    names = {"live", "paper", "market", "alerts"}
    assert check() == (0, {name: [] for name in names})
    for name in ("live", "market"):
        (folder / f"{name}.sqlite").write_bytes(b"this is no database at all" * 400)
    whole = (folder / "alerts.sqlite").read_bytes()
    (folder / "alerts.sqlite").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    code, found = check()
    assert code == 1
    assert found["paper"] == []
    assert found.keys() == names
    for name in ("live", "market", "alerts"):
        assert found[name], name
        assert all("\n" not in line and str(folder) not in line for line in found[name])
    with pytest.raises(SystemExit) as stop:
        main(["db", "check", "--config", str(tmp_path / "arbtui.toml")])
    shown = capsys.readouterr().out
    assert (stop.value.code, shown.count("\n")) == (1, 4)
    assert f"{folder / 'live.sqlite'}: is not an SQLite database" in shown


def test_nothing_is_pruned_under_a_running_engine(db: Db, folder: Path) -> None:
    with StoreLock(folder):
        code, _, err = db("prune", "--older", "1d")
        assert (code, "another engine" in err) == (3, True)
        assert db("check")[0] == 0


def test_the_journal_is_copied_only_while_no_engine_runs(db: Db, folder: Path, tmp_path: Path) -> None:
    from arbtui.store import SqliteJournal

    with StoreLock(folder):
        SqliteJournal(folder, 31_337, make.WALLET, genesis="0x1").close()
        assert db("backup", tmp_path / "j.sqlite", "--family", "journal")[0] == 3
    assert db("backup", tmp_path / "j.sqlite", "--family", "journal")[0] == 0
    assert (tmp_path / "j.sqlite").stat().st_mode & 0o777 == 0o600
    assert set(json.loads(db("check", "--json")[1])["files"]) == {"live", "journal"}
